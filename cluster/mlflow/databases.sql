-- Beside the database of runs, one of users and permissions.
CREATE DATABASE access;

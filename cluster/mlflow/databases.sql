-- The database of users and permissions, in addition to that of runs.
CREATE DATABASE access;

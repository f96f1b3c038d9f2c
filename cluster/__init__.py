"""Runs a command with its files as a Ray job on a cluster; independent of what the command is."""

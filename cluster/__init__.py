"""Where sweeps run: Ray Jobs on a cluster. Knows a command line and files, nothing of sweeps."""

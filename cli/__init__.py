"""The `lethe` command: thin, and fast to start."""

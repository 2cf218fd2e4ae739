"""Patches on a network whose weights stay: regions, what is blocked in them, certificates."""

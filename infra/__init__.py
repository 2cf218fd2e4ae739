"""What runs around Lethe: the real stack on one machine, and templates for others."""

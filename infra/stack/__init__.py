"""The real stack on one machine, without containers; see docs/stack.md."""

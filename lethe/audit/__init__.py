"""The statement of what was done, in a shape that can be signed and checked."""

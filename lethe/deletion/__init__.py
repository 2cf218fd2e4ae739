"""Deletion requests: what a ticket asks to be forgotten."""

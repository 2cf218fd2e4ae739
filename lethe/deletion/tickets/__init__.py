"""Tickets: whose they are, and what they ask for."""

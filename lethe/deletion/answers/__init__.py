"""Answers: what goes back to the ticket, through an outbox."""

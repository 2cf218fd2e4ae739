"""Errors of the audit trail; exit code 9."""

from lethe.errors import AuditError

__all__ = ["AuditError", "ChainError", "KeysError"]


class KeysError(AuditError):
    """A signing key is missing, unsafe, or not the one that the records were signed with."""


class ChainError(AuditError):
    """The chain of records is broken, or somebody else continued it."""

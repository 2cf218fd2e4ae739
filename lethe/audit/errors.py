"""Errors of the audit trail. Exit code 9: a record is missing, was changed, or cannot be signed."""

from lethe.errors import LetheError


class AuditError(LetheError):
    """A record cannot be signed, kept or trusted."""

    exit_code = 9


class KeysError(AuditError):
    """A signing key is missing, unsafe, or not the one that the records were signed with."""


class ChainError(AuditError):
    """The chain of records is broken, or somebody else continued it."""

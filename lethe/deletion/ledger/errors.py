"""What can go wrong in the ledger beside a request that is missing or in another state."""

from typing import ClassVar

from lethe.errors import LetheError, RequestError, SettingsError


class LeaseLostError(RequestError):
    """Another worker has this batch by now, or it is finished: what was done for it must stop."""


class LedgerUnavailableError(LetheError):
    """The database cannot be reached or stays locked; the same call may work later."""

    exit_code: ClassVar[int] = 8


class LedgerValueError(LetheError):
    """The database did not take a value; the transaction was undone."""

    exit_code: ClassVar[int] = 8


class LedgerVersionError(SettingsError):
    """The database was written by a newer version of Lethe."""


def absent(request_id: str) -> RequestError:
    """The error for a request that is not there.

    Only an id of the ledger's own form is repeated: anything else may be a person's.
    """
    name = f" {request_id}" if request_id.startswith("req-") and len(request_id) <= 64 else ""
    return RequestError(
        f"There is no deletion request{name} in the ledger. Nothing was changed. "
        "`lethe requests list` shows those there are."
    )

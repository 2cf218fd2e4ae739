"""What can go wrong with data, one class for each thing a person would mend differently."""

from lethe.errors import DataError, ForgetSetError


class NotARepositoryError(DataError):
    """The data repository is no git repository with DVC in it, or cannot be reached."""


class MissingRevisionError(DataError):
    """The git revision does not exist in the data repository."""


class MissingDatasetError(DataError):
    """DVC tracks nothing at that path in that revision."""


class MissingObjectError(DataError):
    """DVC knows the data, but neither the cache nor the remote holds it."""


class RemoteError(DataError):
    """The DVC remote refuses or cannot be reached."""


# Data that cannot be reached now may be reached tomorrow: what needs it waits, and does not fail.
AWAY = (RemoteError, NotARepositoryError)


class FormError(DataError):
    """A Parquet file is not in the form of a data set."""


class ImportFailedError(DataError):
    """Original data is missing, damaged or not what was pinned."""


class UnknownClassError(ForgetSetError):
    """The selection names a class that the data set does not have."""


class UnknownIdsError(ForgetSetError):
    """The selection names subject or sample ids that the data set does not have."""


class EmptySelectionError(ForgetSetError):
    """The selection matches no training row."""


class WholeDatasetError(ForgetSetError):
    """The selection matches every training row."""


class ShareExceededError(ForgetSetError):
    """The selection is a larger share of the data set than one request may forget."""

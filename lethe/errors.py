"""What can go wrong, told to the person who has to mend it.

Every message says what happened, what was left unchanged and the next command to type. The exit
code of the `lethe` command is the class's `exit_code`; docs/cli.md lists them.
"""

from typing import ClassVar


class LetheError(Exception):
    """Base of every error that Lethe raises on purpose."""

    exit_code: ClassVar[int] = 1

    @property
    def in_short(self) -> str:
        """What happened, without what to type: the first sentence, in one line."""
        return " ".join(str(self).split()).partition(". ")[0]


class SettingsError(LetheError):
    """A setting is missing, misspelt or out of range."""

    exit_code = 2


class DataError(LetheError):
    """A data set cannot be imported, found or read."""

    exit_code = 4


class ForgetSetError(DataError):
    """A forget set cannot be resolved, is empty, or asks for more than is allowed."""


class ModelError(LetheError):
    """A model version cannot be found, trusted or rebuilt."""

    exit_code = 5


class MethodError(LetheError):
    """An unlearning method does not exist or cannot do what is asked."""

    exit_code = 6


class RegistryError(LetheError):
    """MLflow cannot be reached, or does not let us do what we asked."""

    exit_code = 7


class RequestError(LetheError):
    """A deletion request does not exist, or is not in a state for what is asked."""

    exit_code = 8


class AuditError(LetheError):
    """A record cannot be signed, kept or trusted."""

    exit_code = 9


class PolicyError(SettingsError):
    """The policy file is wrong, or does not allow what is asked."""


class RefusedError(LetheError):
    """A gate failed: nothing was promoted, and the record says so."""

    exit_code = 3


class DeviceError(LetheError):
    """There is no accelerator, or none with enough free memory, and the settings say to wait."""

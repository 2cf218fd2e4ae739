"""What can go wrong with the stack in a way that a person can mend."""

from lethe.errors import LetheError


class StackError(LetheError):
    """The stack cannot do what was asked."""

    exit_code = 1

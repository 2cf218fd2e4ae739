"""What can be wrong with a policy or with a ticket. No message repeats a ticket's value."""

from lethe.errors import PolicyError, RequestError


class UnknownSourceError(PolicyError):
    """The policy names no such source."""


class UnreadableTicketError(RequestError):
    """A ticket asks for a deletion, but not of what.

    Attributes:
        problem: one line that names the field, never its value.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(
            f"The ticket cannot be read: {problem}. Nothing was filed. Correct the ticket, or the "
            f"mapping: `lethe policy check TICKET.json --source NAME` shows what is read and where."
        )

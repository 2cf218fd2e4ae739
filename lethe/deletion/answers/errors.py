"""What can go wrong when a letter is sent."""

from datetime import timedelta
from typing import ClassVar

from lethe.errors import LetheError


class SendError(LetheError):
    """A letter did not arrive, as far as is known.

    What is kept of it in the outbox is `what` alone: a status code or the name of an error, never
    an address, a header or a body.

    Attributes:
        what: in a few words, without anything that a ticket or a server said.
        retry_after: not before this time has passed; None leaves it to the deliverer.
        permanent: sending it again would end the same way.
        down: the whole target does not answer or does not let us in, so other letters to it need
            not be tried in this round.
    """

    exit_code: ClassVar[int] = 8

    def __init__(
        self,
        what: str = "not sent",
        *,
        retry_after: timedelta | None = None,
        permanent: bool = False,
        down: bool = False,
    ) -> None:
        self.what = what
        self.retry_after = retry_after
        self.permanent = permanent
        self.down = down
        super().__init__(
            f"A letter was not sent: {what}. It stays in the outbox and nothing else was changed. "
            "`lethe requests letters` shows what is owed."
        )

"""What the routes work with, in one place."""

from collections.abc import Callable
from dataclasses import dataclass

from lethe.deletion.intake.metrics import Metrics
from lethe.deletion.intake.writer import Writer
from lethe.deletion.ledger.ledger import Ledger
from lethe.deletion.policy.model import Policy
from lethe.settings import Settings


@dataclass(frozen=True)
class Service:
    """The parts of a running service.

    Attributes:
        ledger: of requests.
        policy: gives the policy that holds now.
        settings: of the service.
        writer: commits arrivals.
        metrics: counts.
        wake: says that there may be letters to send.
    """

    ledger: Ledger
    policy: Callable[[], Policy]
    settings: Settings
    writer: Writer
    metrics: Metrics
    wake: Callable[[], None]

    @property
    def sources(self) -> frozenset[str]:
        """Names of the sources there are: the only ones that may become labels."""
        return frozenset(self.policy().sources)

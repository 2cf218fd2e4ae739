"""Figures for Prometheus, in a registry of their own.

Labels take values from closed lists only: sources of the policy (any other is `unknown`), words of
enumerations, route templates. A sender cannot make new ones, and nothing personal can get in.
What the ledger knows is read when the figures are asked for.
"""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from lethe.deletion.ledger.ledger import Ledger
from lethe.deletion.states import OPEN

CONTENT_TYPE = CONTENT_TYPE_LATEST
UNKNOWN = "unknown"
_FAR = timedelta(days=3650)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """What is counted while the service runs.

    Args:
        ledger: asked for states and letters when the figures are read.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.registry = CollectorRegistry()
        self._arrivals = Counter(
            "lethe_intake_arrivals",
            "Authentic deliveries that were kept, by what became of them.",
            ["source", "reception"],
            registry=self.registry,
        )
        self._refused = Counter(
            "lethe_intake_refused",
            "Deliveries that were turned away, by reason.",
            ["source", "reason"],
            registry=self.registry,
        )
        self._sizes = Histogram(
            "lethe_intake_commit_arrivals",
            "Arrivals in one transaction.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self._seconds = Histogram(
            "lethe_intake_commit_seconds",
            "Seconds that one transaction took.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._http = Histogram(
            "lethe_http_seconds",
            "Seconds that an answer took.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stale = Gauge(
            "lethe_policy_stale",
            "1 while the policy file is wrong and the last good one goes on.",
            registry=self.registry,
        )
        self.registry.register(_LedgerFigures(ledger))
        ProcessCollector(registry=self.registry)

    def arrived(self, source: str, reception: str) -> None:
        """Count an arrival of a source of the policy."""
        self._arrivals.labels(source, reception).inc()

    def refused(self, source: str, known: Collection[str], reason: str) -> None:
        """Count a delivery that was turned away; a source that is not known has no name."""
        self._refused.labels(source if source in known else UNKNOWN, reason).inc()

    def committed(self, size: int, seconds: float) -> None:
        """Note a transaction."""
        self._sizes.observe(size)
        self._seconds.observe(seconds)

    def answered(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Note an answer; `route` is the template, None for an address that does not exist."""
        word = method if method in _METHODS else "other"
        self._http.labels(word, route or UNKNOWN, str(status)).observe(seconds)

    def text(self, *, stale: bool) -> bytes:
        """All figures in Prometheus' text format."""
        self._stale.set(stale)
        return generate_latest(self.registry)


def first_due(ledger: Ledger, now: datetime) -> datetime | None:
    """The first deadline of an open request, to the hour; None if there is none within ten years.

    The ledger has no order by deadline, but knows quickly whether one lies before a time: halve
    the interval until it is an hour.
    """
    low, high = now - _FAR, now + _FAR
    if not _is_due(ledger, high):
        return None
    while high - low > timedelta(hours=1):
        middle = low + (high - low) / 2
        if _is_due(ledger, middle):
            high = middle
        else:
            low = middle
    return high


def _is_due(ledger: Ledger, before: datetime) -> bool:
    return bool(ledger.find(states=OPEN, due_before=before, limit=1))


class _LedgerFigures:
    """What the ledger knows, read at each scrape."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> Iterable[Metric]:
        """No names in advance: registering must not ask the ledger."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Read the ledger."""
        states = GaugeMetricFamily("lethe_requests", "Requests by state.", labels=["state"])
        for state, count in self._ledger.counts().items():
            states.add_metric([str(state)], count)
        yield states
        left = GaugeMetricFamily(
            "lethe_days_left", "Days until the first deadline of an open request; negative: late."
        )
        now = datetime.now(UTC)
        if (due := first_due(self._ledger, now)) is not None:
            left.add_metric([], (due - now) / timedelta(days=1))
        yield left
        owed = GaugeMetricFamily("lethe_letters_owed", "Letters to be sent.", labels=["kind"])
        for kind, count in self._ledger.letters_owed().items():
            owed.add_metric([kind], count)
        yield owed
        yield GaugeMetricFamily(
            "lethe_letters_dead",
            "Letters that were given up; `lethe requests` shows them.",
            value=len(self._ledger.letters_dead()),
        )

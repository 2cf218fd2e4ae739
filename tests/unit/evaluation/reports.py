"""Statements and contents for the tests of the report, and a page read back."""

from datetime import UTC, datetime
from html.parser import HTMLParser

from lethe.audit.predicate import (
    Code,
    Compute,
    Data,
    Gate,
    Method,
    Place,
    Predicate,
    Request,
    Times,
    Version,
)
from lethe.audit.statement import Statement
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.report import ReportContent
from lethe.evaluation.verdict import decide

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEFAULT = GateThresholds()
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a page is made of, and whether its tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def a_request(**changes) -> Request:
    return Request(
        **{
            "id": "req-1",
            "ground": "GDPR Art. 17",
            "received_at": NOON,
            "kind": "class",
            "source": "cli",
            "regulation": "gdpr",
            **changes,
        }
    )


def write_statement(evaluation, decision, **changes) -> Statement:
    successor = Version(uri="models:/digits/2", version=2, weights_sha256="b" * 64)
    return Statement.of(
        Predicate(
            **{
                "batch": "batch-1",
                "requests": (a_request(),),
                "parent": Version(uri="models:/digits/1", version=1, weights_sha256="a" * 64),
                "successor": None if decision.refused else successor,
                "data": Data(
                    repository=".",
                    path="data/digits",
                    git_rev="c" * 40,
                    dvc_md5="d" * 32,
                    kind="class",
                    classes=("3",),
                    count=137,
                    held_out_count=46,
                    total=1347,
                    set_digest="e" * 64,
                    rows_root="9" * 64,
                ),
                "method": Method(name="pte", settings={"epochs": 5}, seed=0),
                "compute": Compute(
                    device="cpu", seconds={"probe": 0.5, "edit": 0.75}, retraining=5.0
                ),
                "code": Code(
                    lethe="0.1.0", python="3.11", platform="Linux", environment_sha256="f" * 64
                ),
                "figures": evaluation.figures(),
                "gates": tuple(Gate(**gate.model_dump()) for gate in decision.gates),
                "verdict": decision.verdict.value,
                "rule": decision.rule,
                "reason": decision.reason,
                "not_covered": decision.not_covered,
                "times": Times(started=NOON, finished=NOON),
                "run_id": "run-1",
                "record": Place(sequence=1, previous=None, key_id="8" * 64, signed_at=NOON),
            }
            | changes
        )
    )


def content(evaluation, *, thresholds=DEFAULT, said=None, **changes) -> ReportContent:
    """What a page is made of; `said` changes the statement."""
    decision = decide(evaluation, thresholds)
    return ReportContent(
        **{
            "statement": write_statement(evaluation, decision, **(said or {})),
            "evaluation": evaluation,
            "decision": decision,
            "thresholds": thresholds,
        }
        | changes
    )

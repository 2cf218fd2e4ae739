"""Statements as the flows make them, in plain data, for tests."""

from datetime import UTC, datetime, timedelta

from lethe.audit.predicate import Predicate
from lethe.audit.statement import Statement

A, B = "a" * 64, "b" * 64
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


REQUEST = {
    "id": "req-1",
    "ground": "GDPR Art. 17(1)(b)",
    "received_at": NOON,
    "kind": "class",
    "ticket": "DPO-7",
    "source": "privacy-issues",
    "regulation": "gdpr",
    "policy": "2026-11@sha256:0123456789ab",
    "approved_by": ("dpo",),
    "rows": 137,
    "recognised": 0.0,
}


def content(**changes):
    """A whole predicate as plain data, changed in some places."""
    return {
        "batch": "batch-1",
        "requests": (REQUEST,),
        "parent": {"uri": "models:/digits/1", "version": 1, "weights_sha256": A},
        "successor": {"uri": "models:/digits/2", "version": 2, "weights_sha256": B},
        "data": {
            "repository": "https://example.org/data.git",
            "path": "data/digits",
            "git_rev": "c" * 40,
            "dvc_md5": "d" * 32 + ".dir",
            "kind": "class",
            "classes": ("3",),
            "count": 137,
            "held_out_count": 46,
            "total": 1347,
            "set_digest": "e" * 64,
            "rows_root": "9" * 64,
        },
        "method": {"name": "pte", "settings": {"epochs": 5, "rate": 0.001}, "seed": 0},
        "compute": {"device": "cpu", "seconds": {"probe": 0.5, "edit": 1.25}},
        "code": {
            "lethe": "0.1.0",
            "python": "3.11.7",
            "platform": "Linux",
            "environment_sha256": "f" * 64,
        },
        "figures": {"after.forget_held_out": 0.0},
        "gates": (
            {
                "name": "agreement",
                "measured": 0.99,
                "threshold": 0.95,
                "comparison": ">=",
                "passed": True,
                "words": "Parent and successor agree.",
            },
        ),
        "verdict": "suppressed",
        "rule": "output_level_passed",
        "reason": "The output level passed.",
        "not_covered": ("Hidden layers.",),
        "times": {"started": NOON, "finished": NOON + timedelta(seconds=9)},
        "run_id": "0123456789abcdef",
        "record": {"sequence": 1, "previous": None, "key_id": "8" * 64, "signed_at": NOON},
    } | changes


def statement(**changes) -> Statement:
    return Statement.of(Predicate.model_validate(content(**changes)))


REFUSAL = {"successor": None, "verdict": "refused", "rule": "gate_failed"}

"""The statement of what was done, filled from a record and its outcome."""

import math
from datetime import UTC, datetime
from typing import Literal

from lethe.audit.fields import flat_settings
from lethe.audit.predicate import (
    Choice,
    Compute,
    LeftOut,
    Place,
    Predicate,
    Rung,
    Search,
    Times,
    Trial,
    Version,
)
from lethe.audit.statement import Statement
from tasks.outcome import Outcome
from tasks.record import Record
from tasks.statement_parts import (
    code,
    data_of,
    evaluation_of,
    gates_of,
    method_of,
    requests_of,
    version_of,
)


def build_statement(
    record: Record,
    outcome: Outcome,
    successor: Version | None,
    place: Place,
) -> Statement:
    """The statement about the successor, or about a refusal when there is none."""
    seconds = outcome.seconds
    parent = record.parent
    return Statement.of(
        Predicate(
            batch=record.batch.id,
            requests=tuple(requests_of(record.batch, record.forget, outcome.own)),
            parent=version_of(parent.ref, parent.facts.weights_sha256, parent.tags),
            successor=successor,
            data=data_of(record.settings, record.batch, record.forget),
            evaluation=evaluation_of(record.measured, record.forget),
            method=method_of(record.method, record.settings.seed),
            choice=_choice(record, outcome),
            compute=Compute(
                device=str(record.device),
                seconds={
                    "probe": seconds["probe"],
                    "edit": seconds["edit"],
                    "evaluation": seconds["evaluation"],
                },
                retraining=seconds.get("retraining"),
            ),
            code=code(),
            figures=outcome.evaluation.figures(),
            gates=gates_of(outcome.decision),
            verdict=outcome.decision.verdict.value,
            rule=outcome.decision.rule,
            reason=outcome.decision.reason,
            not_covered=outcome.decision.not_covered,
            times=Times(started=record.started, finished=datetime.now(UTC)),
            run_id=record.run_id,
            record=place,
        )
    )


def _choice(record: Record, outcome: Outcome) -> Choice:
    """The ladder with what became of this step, and how its settings were found."""
    ended: Literal["refused", "accepted"] = "refused" if outcome.refused else "accepted"
    climb = record.climb.noted(record.at, ended, outcome.decision.reason, record.run_id)
    return Choice(
        facts=flat_settings(climb.facts),
        rungs=tuple(
            Rung(
                method=way.method,
                settings=flat_settings(way.options),
                because=way.because,
                outcome=way.outcome,
                said=way.said,
                run_id=way.run_id,
            )
            for way in climb.ways
        ),
        at=record.at,
        left_out=tuple(LeftOut(method=o.method, because=o.because) for o in climb.left_out),
        search=_search(record),
    )


def _search(record: Record) -> Search | None:
    found = record.search
    if found is None:
        return None
    return Search(
        budget=record.settings.unlearning.search_budget,
        trials=tuple(
            Trial(
                settings=flat_settings(one.options),
                forgotten=one.forgotten,
                drift=one.drift if math.isfinite(one.drift) else None,
                score=one.score,
            )
            for one in found.trials
        ),
        best=found.best,
        seconds=found.seconds,
    )

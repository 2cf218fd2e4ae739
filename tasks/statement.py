"""The statement of what was done, filled from a record and its outcome."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from lethe.audit.environment import running_code
from lethe.audit.fields import flat_settings
from lethe.audit.predicate import (
    Choice,
    Code,
    Compute,
    Data,
    EvaluationData,
    Gate,
    LeftOut,
    Method,
    Place,
    Predicate,
    Request,
    Rung,
    Search,
    Times,
    Trial,
    Version,
)
from lethe.audit.receipt import fingerprints
from lethe.audit.receipt import rows_root as root_of_rows
from lethe.audit.statement import Statement
from lethe.deletion.ledger.types import Entry
from lethe.keys import record_key
from model_registry import tags
from model_registry.version import VersionRef
from tasks.outcome import Outcome
from tasks.record import Record


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
            requests=tuple(_request(entry, record, outcome) for entry in record.batch.entries),
            parent=version_of(parent.ref, parent.facts.weights_sha256, parent.tags),
            successor=successor,
            data=Data(
                repository=record.forget.repository,
                path=record.forget.spec.dataset,
                git_rev=record.forget.git_rev,
                dvc_md5=record.forget.dvc_md5,
                kind=record.forget.kind,
                classes=record.forget.class_names if record.forget.kind == "class" else (),
                count=record.forget.count,
                held_out_count=record.forget.held_out_count,
                total=record.forget.total,
                set_digest=record.forget.set_digest,
                rows_root=rows_root(record),
            ),
            evaluation=_evaluation(record),
            method=Method(
                name=record.method.name,
                settings=flat_settings(record.method.model_dump(mode="json")),
                seed=record.settings.seed,
            ),
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
            code=_code(),
            figures=outcome.evaluation.figures(),
            gates=tuple(
                Gate.model_validate_json(gate.model_dump_json()) for gate in outcome.decision.gates
            ),
            verdict=outcome.decision.verdict.value,
            rule=outcome.decision.rule,
            reason=outcome.decision.reason,
            not_covered=outcome.decision.not_covered,
            times=Times(started=record.started, finished=datetime.now(UTC)),
            run_id=record.run_id,
            record=place,
        )
    )


def rows_root(record: Record) -> str:
    """Root of the tree over the forgotten training rows, in hex; receipts lead to it.

    Its leaves are keyed by the batch too, so the same row in two batches cannot be told to be one.
    """
    key = record_key(record.settings.record_key_file)
    leaves = fingerprints(key, set(record.forget.sample_ids()), record.batch.id)
    return root_of_rows(leaves)


def _request(entry: Entry, record: Record, outcome: Outcome) -> Request:
    own = outcome.own.get(entry.id)
    selection = entry.request.forget.selection
    return Request(
        id=entry.id,
        ground=entry.request.ground,
        received_at=entry.request.received_at,
        kind=record.forget.kind if selection is None else selection.kind,
        ticket=entry.request.ticket,
        source=entry.request.source,
        regulation=entry.request.regulation,
        due_at=entry.due_at,
        policy=entry.policy,
        approved_by=entry.approvals,
        rows=None if own is None else own.count,
        recognised=None if own is None else own.share,
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


def _evaluation(record: Record) -> EvaluationData | None:
    measured = record.measured
    if measured is record.forget:
        return None
    return EvaluationData(
        path=measured.spec.dataset, git_rev=measured.git_rev, dvc_md5=measured.dvc_md5
    )


def version_of(ref: VersionRef, weights: str, known: Mapping[str, str]) -> Version:
    """A version as statements name it, by its weights' digest and its tags."""
    return Version(
        uri=ref.uri,
        version=ref.number,
        weights_sha256=weights,
        served_sha256=known.get(tags.SERVED),
    )


@lru_cache
def _code() -> Code:
    return running_code(_commit())


def _commit() -> str | None:
    """The commit of Lethe's own code when it runs from a checkout, else None."""
    from scmrepo.exceptions import SCMError
    from scmrepo.git import Git

    try:
        with Git(str(Path(__file__).parent.parent)) as repository:
            return str(repository.get_rev())
    except SCMError:
        return None

"""The statement about a quarantine: what is blocked, how far that is proven, what is left."""

from collections.abc import Iterator
from datetime import UTC, datetime

from lethe.audit.fields import flat_settings
from lethe.audit.predicate import (
    Compute,
    Data,
    EvaluationData,
    Gate,
    Method,
    Place,
    Predicate,
    Request,
    Times,
    Version,
)
from lethe.audit.receipt import fingerprints
from lethe.audit.receipt import rows_root as root_of_rows
from lethe.audit.statement import Statement
from lethe.keys import record_key
from tasks.quarantine import Made, Plan
from tasks.statement import _code, version_of


def quarantine_statement(
    plan: Plan, made: Made, version: Version | None, run_id: str, place: Place
) -> Statement:
    """The signed account of a quarantine, or of a refused one when there is no version.

    Its rule is `patched`, its verdict `suppressed` at most, and it lists the request itself among
    what is not covered.
    """
    settings, forget, decision = plan.settings, plan.forget, made.decision
    leaves = fingerprints(
        record_key(settings.record_key_file), set(forget.sample_ids()), plan.batch.id
    )
    measured = plan.measured
    coverage = made.coverage
    return Statement.of(
        Predicate(
            batch=plan.batch.id,
            requests=tuple(request_rows(plan, made)),
            parent=version_of(plan.parent.ref, plan.parent.facts.weights_sha256, plan.parent.tags),
            successor=version,
            data=Data(
                repository=forget.repository,
                path=forget.spec.dataset,
                git_rev=forget.git_rev,
                dvc_md5=forget.dvc_md5,
                kind=forget.kind,
                classes=forget.class_names if forget.kind == "class" else (),
                count=forget.count,
                held_out_count=forget.held_out_count,
                total=forget.total,
                set_digest=forget.set_digest,
                rows_root=root_of_rows(leaves),
            ),
            evaluation=None
            if measured is forget
            else EvaluationData(
                path=measured.spec.dataset, git_rev=measured.git_rev, dvc_md5=measured.dvc_md5
            ),
            method=Method(
                name=plan.method.name,
                settings=flat_settings(plan.method.model_dump(mode="json")),
                seed=settings.seed,
            ),
            compute=Compute(
                device=str(settings.device),
                seconds={name: made.seconds[name] for name in ("probe", "edit", "evaluation")},
            ),
            code=_code(),
            figures={
                **made.evaluation.figures(),
                "coverage.rows": float(coverage.rows),
                "coverage.regions": float(coverage.regions),
                "coverage.blocked": float(coverage.blocked),
                "coverage.certified": float(coverage.certified),
            },
            gates=tuple(Gate.model_validate_json(g.model_dump_json()) for g in decision.gates),
            verdict=decision.verdict.value,
            rule=decision.rule,
            reason=decision.reason,
            not_covered=decision.not_covered,
            times=Times(started=plan.started, finished=datetime.now(UTC)),
            run_id=run_id,
            record=place,
        )
    )


def request_rows(plan: Plan, made: Made) -> Iterator[Request]:
    """The requests with how many of their own rows are still recognised."""
    for entry in plan.batch.entries:
        own, selection = made.own.get(entry.id), entry.request.forget.selection
        yield Request(
            id=entry.id,
            ground=entry.request.ground,
            received_at=entry.request.received_at,
            kind=plan.forget.kind if selection is None else selection.kind,
            ticket=entry.request.ticket,
            source=entry.request.source,
            regulation=entry.request.regulation,
            due_at=entry.due_at,
            policy=entry.policy,
            approved_by=entry.approvals,
            rows=None if own is None else own.count,
            recognised=None if own is None else own.share,
        )

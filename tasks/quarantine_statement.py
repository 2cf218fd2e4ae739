"""The statement about a quarantine: what is blocked, how far that is proven, what is left."""

from datetime import UTC, datetime

from lethe.audit.predicate import (
    Compute,
    Place,
    Predicate,
    Times,
    Version,
)
from lethe.audit.statement import Statement
from tasks.quarantine import Made, Plan
from tasks.statement_parts import (
    code,
    data_of,
    evaluation_of,
    gates_of,
    method_of,
    requests_of,
    version_of,
)


def quarantine_statement(
    plan: Plan, made: Made, version: Version | None, run_id: str, place: Place
) -> Statement:
    """The signed account of a quarantine, or of a refused one when there is no version.

    Its rule is `patched`, its verdict `suppressed` at most, and it lists the request itself among
    what is not covered.
    """
    settings, decision, coverage = plan.settings, made.decision, made.coverage
    return Statement.of(
        Predicate(
            batch=plan.batch.id,
            requests=tuple(requests_of(plan.batch, plan.forget, made.own)),
            parent=version_of(plan.parent.ref, plan.parent.facts.weights_sha256, plan.parent.tags),
            successor=version,
            data=data_of(settings, plan.batch, plan.forget),
            evaluation=evaluation_of(plan.measured, plan.forget),
            method=method_of(plan.method, settings.seed),
            compute=Compute(
                device=str(settings.device),
                seconds={name: made.seconds[name] for name in ("probe", "edit", "evaluation")},
            ),
            code=code(),
            figures={
                **made.evaluation.figures(),
                "coverage.rows": float(coverage.rows),
                "coverage.regions": float(coverage.regions),
                "coverage.blocked": float(coverage.blocked),
                "coverage.certified": float(coverage.certified),
            },
            gates=gates_of(decision),
            verdict=decision.verdict.value,
            rule=decision.rule,
            reason=decision.reason,
            not_covered=decision.not_covered,
            times=Times(started=plan.started, finished=datetime.now(UTC)),
            run_id=run_id,
            record=place,
        )
    )

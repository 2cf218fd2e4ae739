"""How a request ends: a registered successor, or a recorded refusal."""

import json
from datetime import UTC, datetime

from prefect import task

from lethe.audit.statement import Statement, canonical_bytes, digest
from lethe.data.forget_set import ForgetSet
from lethe.evaluation.results import Part
from lethe.settings import Settings
from lethe.unlearning.method import Method
from model_registry import tags
from model_registry.aliases import CANDIDATE, promote
from model_registry.connection import connect
from model_registry.lineage import already_forgotten, successor_for
from model_registry.page import SuccessorPage, append_note, write_pages
from model_registry.pull import PulledVersion
from model_registry.register import register_version, weights_digest
from model_registry.run import log_curves, log_folder, log_metrics
from model_registry.version import VersionRef
from tasks.artifacts import show_result
from tasks.outcome import Outcome
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY
from tasks.record import Record, method_key
from tasks.report import write_report
from tasks.results import Status, UnlearnResult
from tasks.statement import build_statement

PARTS = {
    Part.FORGET_TRAIN: "forgotten rows, training",
    Part.FORGET_HELD_OUT: "forgotten rows, held-out",
    Part.RETAINED_TRAIN: "retained rows, training",
    Part.RETAINED_HELD_OUT: "retained rows, held-out",
}


@task(**SAFE_TO_RETRY)
def find_done(
    settings: Settings,
    parent: PulledVersion,
    forget: ForgetSet,
    method: Method,
    *,
    wanted: bool | None,
) -> UnlearnResult | None:
    """The version that has forgotten this set already, if there is one.

    Either the version asked for, or one it came from, forgot it; or an unpromoted successor did,
    by the same method with the same settings, and is promoted now if that is wanted. A successor
    without a statement was cut short, and is finished instead.
    """
    client = connect(settings)
    alias = None
    done = already_forgotten(client, parent.ref, forget.set_digest)
    if done is None:
        done = successor_for(client, parent.ref, forget.set_digest, method_key(settings, method))
        if done is None:
            return None
        record = client.get_model_version(done.name, str(done.number))
        if tags.STATEMENT not in record.tags:
            return None
        # Somebody rolled it back: only an explicit wish moves the alias there again.
        if wanted is not None or tags.ROLLED_BACK_AT not in record.tags:
            alias = move_alias(settings, parent.ref, done, wanted=wanted)
    record = client.get_model_version(done.name, str(done.number))
    return UnlearnResult(
        status=Status.ALREADY_FORGOTTEN,
        request_id=record.tags[tags.REQUEST],
        parent=record.tags[tags.PARENT],
        successor=str(done),
        verdict=record.tags[tags.VERDICT],
        reason=record.tags[tags.REASON],
        run_id=record.run_id,
        alias=alias,
    )


@task(**SAFE_TO_RETRY)
def register_successor(record: Record, outcome: Outcome, *, wanted: bool | None) -> UnlearnResult:
    """Register the edit as the model's next version, with its whole record.

    Every step does nothing twice, so that a run that was cut short is finished by running it again.
    The statement's tag comes after everything it speaks of, the alias last of all.
    """
    client = connect(record.settings)
    weights = weights_digest(outcome.edit.model)
    decision = outcome.decision
    successor = register_version(
        client,
        name=record.parent.ref.name,
        run_id=record.run_id,
        network=outcome.edit.model,
        facts=record.parent.facts.model_copy(
            update={"weights_sha256": weights, "classes": record.classes}
        ),
        packaging=record.parent.packaging,
        version_tags=_tags(record),  # the verdict comes with the statement
    )
    statement = build_statement(record, outcome, successor, weights)
    _log(record, outcome, statement)
    page = _page(record, outcome, successor)
    write_pages(client, page)
    title = f"{record.parent.ref} forgot {record.forgot}"
    show_result(record.settings, title, page.markdown())
    closing = {
        tags.VERDICT: decision.verdict.value,
        tags.REASON: decision.reason,
        tags.STATEMENT: digest(statement),
    }
    for key, value in closing.items():
        client.set_model_version_tag(successor.name, str(successor.number), key, value)
        client.set_tag(record.run_id, key, value)
    return UnlearnResult(
        status=Status.REGISTERED,
        request_id=record.request.id,
        parent=str(record.parent.ref),
        successor=str(successor),
        verdict=decision.verdict.value,
        reason=decision.reason,
        run_id=record.run_id,
        alias=move_alias(
            record.settings,
            record.parent.ref,
            successor,
            wanted=wanted if decision.utility_shown else False,
        ),
    )


@task(**IN_MEMORY)
def record_refusal(record: Record, outcome: Outcome) -> None:
    """Keep the record of a refusal; no version is registered and no alias moves."""
    client = connect(record.settings)
    statement = build_statement(record, outcome, None, None)
    _log(record, outcome, statement)
    run = f"#/experiments/{record.experiment_id}/runs/{record.run_id}"
    note = (
        f"Forgetting {record.forgot} was **refused** on "
        f"{datetime.now(UTC):%Y-%m-%d}: nothing was registered. [Run]({run}) · "
        f"[Report]({run}/artifacts/{tags.REPORT_FILE})"
    )
    append_note(client, record.parent.ref, note)
    title = f"{record.parent.ref}: forgetting {record.forgot} was refused"
    show_result(record.settings, title, f"{note}\n\n{outcome.decision.reason}")
    client.set_tag(record.run_id, tags.VERDICT, outcome.decision.verdict.value)
    client.set_tag(record.run_id, tags.REASON, outcome.decision.reason)
    client.set_tag(record.run_id, tags.STATEMENT, digest(statement))


def refusal_message(record: Record, outcome: Outcome) -> str:
    """What happened, what stayed, what to do next."""
    return (
        f"Refused: {outcome.decision.reason} No version was registered; {record.parent.ref} and "
        f"its aliases are unchanged. The record is run {record.run_id}; browse it with `lethe ui`. "
        f"Try other settings (--option), another --method, or other thresholds (gates.*)."
    )


def move_alias(
    settings: Settings, parent: VersionRef, successor: VersionRef, *, wanted: bool | None
) -> str:
    """Promote the successor if that is wanted; else mark it as the candidate."""
    client = connect(settings)
    alias = parent.alias or settings.models.alias
    wanted = settings.models.promote if wanted is None else wanted
    if wanted and promote(client, successor, alias):
        return alias
    client.set_registered_model_alias(successor.name, CANDIDATE, str(successor.number))
    return CANDIDATE


def _tags(record: Record) -> dict[str, str]:
    run_tags = connect(record.settings).get_run(record.run_id).data.tags
    return {key: value for key, value in run_tags.items() if key.startswith(tags.PREFIX)}


def _log(record: Record, outcome: Outcome, statement: Statement) -> None:
    """Metrics, curves, plots, evaluation, statement and report of the run."""
    client = connect(record.settings)
    figures = {name.replace(".", "/"): v for name, v in outcome.evaluation.figures().items()}
    times = {f"{tags.SECONDS}{name}": value for name, value in outcome.seconds.items()}
    log_metrics(client, record.run_id, {**figures, **times})
    log_curves(client, record.run_id, {f"edit/{k}": v for k, v in outcome.edit.curves.items()})
    (record.folder / tags.EVALUATION_FILE).write_text(
        json.dumps(outcome.evaluation.model_dump(mode="json"), indent=2), encoding="utf-8"
    )
    (record.folder / tags.STATEMENT_FILE).write_bytes(canonical_bytes(statement))
    write_report(record, outcome, statement)
    log_folder(client, record.run_id, record.folder)


def _page(record: Record, outcome: Outcome, successor: VersionRef) -> SuccessorPage:
    before, after = outcome.evaluation.before, outcome.evaluation.after
    figures = [
        (words, f"{b.share:.2%}", f"{a.share:.2%}")
        for part, words in PARTS.items()
        if (b := before.get(part)) is not None and (a := after.get(part)) is not None
    ]
    forget = record.forget
    return SuccessorPage(
        successor=successor,
        parent=record.parent.ref,
        experiment_id=record.experiment_id,
        run_id=record.run_id,
        forgot=record.forgot,
        verdict=outcome.decision.verdict.value,
        reason=outcome.decision.reason,
        figures=figures,
        data=(
            f"Data: `{forget.spec.dataset}` at `{forget.git_rev[:12]}`, DVC md5 "
            f"`{forget.dvc_md5}`, {forget.count} of {forget.total} training rows."
        ),
    )

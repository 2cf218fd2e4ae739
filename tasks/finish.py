"""How a batch ends in the registry: a registered successor, or a recorded refusal."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect import task

from lethe.audit.dsse import Envelope
from lethe.audit.statement import Statement, digest
from lethe.data.forget_set import ForgetSet
from lethe.deletion.ledger.statements import Kept
from lethe.deletion.ledger.types import Batch, Facts
from lethe.evaluation.results import Part
from lethe.models.patched import architecture_of
from lethe.settings import Settings
from lethe.unlearning.method import Method
from model_registry import tags
from model_registry.connection import connect, experiment_id
from model_registry.lineage import already_forgotten, ancestry, refused_run, successor_for
from model_registry.page import SuccessorPage, append_note, write_pages
from model_registry.pull import PulledVersion
from model_registry.register import register_version, weights_digest
from model_registry.run import (
    artifact_path,
    close_finished_run,
    log_curves,
    log_folder,
    log_metrics,
)
from model_registry.version import VersionRef, parse_number
from tasks.artifacts import show_result
from tasks.card import successor_card
from tasks.certificates import certificate_path, write_certificates
from tasks.lineage import write_lineage
from tasks.notary import Notary
from tasks.outcome import Outcome
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY
from tasks.record import Record, deciding_tags, forgotten_tag, gates_key, method_key
from tasks.report import write_report
from tasks.statement import build_statement
from tasks.statement_parts import version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Set last, on the version and on its run; the statement's after everything it speaks of.
CLOSING = (tags.VERDICT, tags.REASON, tags.RECORD, tags.STATEMENT)
PARTS = {
    Part.FORGET_TRAIN: "forgotten rows, training",
    Part.FORGET_HELD_OUT: "forgotten rows, held-out",
    Part.RETAINED_TRAIN: "retained rows, training",
    Part.RETAINED_HELD_OUT: "retained rows, held-out",
}


@dataclass(frozen=True)
class Finished:
    """What the registry says of work that was done: the run, the version, each request's facts.

    `message` tells a person what a refusal means; it is None for a successor.
    """

    successor: VersionRef | None
    run_id: str
    verdict: str
    reason: str
    facts: Mapping[str, Facts]
    utility_shown: bool
    message: str | None = None

    def facts_of(self, request_id: str) -> Facts:
        """Of one request; of one that was not part of the run, what holds for all."""
        known = self.facts.get(request_id)
        return known or Facts(
            successor=None if self.successor is None else str(self.successor),
            verdict=self.verdict,
            run_id=self.run_id,
        )


@task(**SAFE_TO_RETRY)
def find_done(
    settings: Settings, batch: Batch, parent: PulledVersion, forget: ForgetSet, method: Method
) -> Finished | None:
    """What was finished before: a version that forgot this set, or a refusal of this very work.

    Either the version asked for, or one it came from, forgot it; or an unpromoted successor did,
    by the same method with the same settings. Work without a statement was cut short, and is
    finished instead. A refusal stands only under the thresholds that it was made by.
    """
    client = connect(settings)
    done = already_forgotten(client, parent.ref, forget.set_digest) or successor_for(
        client, parent.ref, forget.set_digest, method_key(settings, method)
    )
    if done is not None:
        record = client.get_model_version(done.name, str(done.number))
        if tags.STATEMENT not in record.tags:
            return None
        close_finished_run(client, record.run_id, _closing(record.tags))
        return read_finished(settings, record.run_id)
    deciding = deciding_tags(settings, batch, parent, method, forget)
    run = refused_run(
        client,
        experiment_id(client, settings),
        {**deciding, tags.GATES_KEY: gates_key(settings)},
    )
    if run is None:
        return None
    close_finished_run(client, run.info.run_id)
    return read_finished(settings, run.info.run_id)


def _closing(known: Mapping[str, str]) -> dict[str, str]:
    return {key: known[key] for key in CLOSING if key in known}


def read_finished(settings: Settings, run_id: str) -> Finished:
    """What the statement of a finished run says."""
    path = artifact_path(connect(settings), run_id, tags.STATEMENT_FILE)
    return _finished(Statement.model_validate_json(path.read_bytes()))


@task(**SAFE_TO_RETRY)
def register_successor(
    record: Record, outcome: Outcome, notary: Notary, still_ours: Callable[[], object]
) -> Finished:
    """Register the edit as the model's next version, with its whole record.

    Every step does nothing twice, so that a run that was cut short is finished by running it again.
    The statement's tag comes after everything it speaks of.

    Raises:
        LeaseLostError: if another worker took the batch over, which `still_ours` finds out. It is
            asked before each step that would overwrite what that worker wrote.
    """
    client = connect(record.settings)
    weights = weights_digest(outcome.edit.model)
    successor = register_version(
        client,
        name=record.parent.ref.name,
        run_id=record.run_id,
        network=outcome.edit.model,
        facts=record.parent.facts.model_copy(
            update={
                "weights_sha256": weights,
                "classes": record.classes,
                "architecture": architecture_of(
                    outcome.edit.model, record.parent.facts.architecture
                ),
            }
        ),
        packaging=record.parent.packaging,
        version_tags=_tags(record),  # the verdict comes with the statement
        card=successor_card(record, outcome.edit, weights),
        still_ours=still_ours,
    )
    known = client.get_model_version(successor.name, str(successor.number)).tags
    version = version_of(successor, weights, known)
    still_ours()
    kept = notary.record(
        f"{record.run_id}/{weights}",
        record.run_id,
        lambda place: build_statement(record, outcome, version, place),
    )
    write_lineage(record.settings, successor, outcome.decision.verdict.value, record.folder)
    statement = _log(record, outcome, kept)
    page = _page(record, outcome, successor)
    write_pages(client, page)
    title = f"{record.parent.ref} forgot {record.forgot}"
    show_result(record.settings, title, page.markdown())
    closing = _closing_tags(statement, kept)
    still_ours()
    for key, value in closing.items():
        client.set_model_version_tag(successor.name, str(successor.number), key, value)
        client.set_tag(record.run_id, key, value)
    return _finished(statement)


@task(**SAFE_TO_RETRY)
def mark_candidate(settings: Settings, successor: VersionRef) -> None:
    """Put the alias `candidate` on a successor, unless it is served or on a later version already.

    Before the ledger learns of it: the next edit of the model begins there, whoever makes it, and
    however this process ends.
    """
    client = connect(settings)
    aliases = client.get_registered_model(successor.name).aliases
    for number in aliases.values():
        on = VersionRef(successor.name, int(number))
        if successor.number in _numbers(client, on):
            return
    client.set_registered_model_alias(successor.name, tags.CANDIDATE, str(successor.number))


def _numbers(client: "MlflowClient", ref: VersionRef) -> set[int]:
    """Numbers of a version and those it came from."""
    return {int(record.version) for record in ancestry(client, ref)}


@task(**IN_MEMORY)
def record_refusal(
    record: Record, outcome: Outcome, notary: Notary, still_ours: Callable[[], object]
) -> Finished:
    """Keep the record of a refusal; no version is registered and no alias moves.

    Raises:
        LeaseLostError: if another worker took the batch over, which `still_ours` finds out.
    """
    client = connect(record.settings)
    still_ours()
    kept = notary.record(
        f"{record.run_id}/refused/{gates_key(record.settings)}",
        record.run_id,
        lambda place: build_statement(record, outcome, None, place),
    )
    statement = _log(record, outcome, kept)
    run = f"#/experiments/{record.experiment_id}/runs/{record.run_id}"
    note = (
        f"Forgetting {record.forgot} was **refused** on "
        f"{datetime.now(UTC):%Y-%m-%d}: nothing was registered. [Run]({run}) · "
        f"[Report]({run}/artifacts/{tags.REPORT_FILE})"
    )
    append_note(client, record.parent.ref, note)
    title = f"{record.parent.ref}: forgetting {record.forgot} was refused"
    show_result(record.settings, title, f"{note}\n\n{outcome.decision.reason}")
    for key, value in _closing_tags(statement, kept).items():
        client.set_tag(record.run_id, key, value)
    return _finished(statement)


def _closing_tags(statement: Statement, kept: Kept) -> dict[str, str]:
    """In the order of `CLOSING`."""
    said = statement.predicate
    values = (said.verdict, said.reason, str(kept.sequence), kept.digest)
    return dict(zip(CLOSING, values, strict=True))


def _finished(statement: Statement) -> Finished:
    said = statement.predicate
    parent = said.parent.uri.removeprefix("models:/")
    uri = None if said.successor is None else said.successor.uri.removeprefix("models:/")
    successor = None if uri is None else parse_number(uri)
    sha256 = digest(statement)  # once: it grows with the number of requests
    facts = {
        request.id: Facts(
            rows=request.rows,
            parent=parent,
            successor=uri,
            verdict=said.verdict,
            run_id=said.run_id,
            statement=sha256,
            forget_accuracy=request.recognised,
        )
        for request in said.requests
    }
    message = (
        f"Refused: {said.reason} No version was registered; {parent} and its aliases are "
        f"unchanged. The record is run {said.run_id}; browse it with `lethe ui`. "
        f"Try other settings (--option), another --method, or other thresholds (gates.*)."
    )
    return Finished(
        successor=successor,
        run_id=said.run_id,
        verdict=said.verdict,
        reason=said.reason,
        facts=facts,
        utility_shown=any(gate.name == "retained_loss" and gate.passed for gate in said.gates),
        message=message if successor is None else None,
    )


def _tags(record: Record) -> dict[str, str]:
    run_tags = connect(record.settings).get_run(record.run_id).data.tags
    found = {key: value for key, value in run_tags.items() if key.startswith(tags.PREFIX)}
    if record.forget.kind == "class":
        found[tags.FORGOTTEN] = forgotten_tag(record.forget)
    return found


def _log(record: Record, outcome: Outcome, kept: Kept) -> Statement:
    """Metrics, curves, plots, evaluation, statement and report of the run, and what is drawn."""
    payload = Envelope.parse(kept.line).payload
    statement = Statement.model_validate_json(payload)
    client = connect(record.settings)
    figures = {name.replace(".", "/"): v for name, v in outcome.evaluation.figures().items()}
    times = {f"{tags.SECONDS}{name}": value for name, value in outcome.seconds.items()}
    log_metrics(client, record.run_id, {**figures, **times})
    log_curves(client, record.run_id, {f"edit/{k}": v for k, v in outcome.edit.curves.items()})
    (record.folder / tags.EVALUATION_FILE).write_text(
        json.dumps(outcome.evaluation.model_dump(mode="json"), indent=2), encoding="utf-8"
    )
    (record.folder / tags.STATEMENT_FILE).write_bytes(payload)
    (record.folder / tags.ENVELOPE_FILE).write_bytes(kept.line + b"\n")
    write_certificates(record.settings, statement, kept, record.folder)
    write_report(record, outcome, statement)
    log_folder(client, record.run_id, record.folder)
    return statement


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
        certificate=certificate_path(record.batch),
    )

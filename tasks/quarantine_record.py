"""How a quarantine is registered, recorded, put in service, and lifted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from prefect import task

from lethe.audit.dsse import Envelope
from lethe.audit.predicate import Version
from lethe.audit.statement import Statement
from lethe.deletion.ledger.statements import Kept
from lethe.errors import ModelError, RefusedError
from lethe.models.patched import architecture_of
from lethe.patching.network import Patched, base_of
from model_registry import tags
from model_registry.aliases import promote, rollback
from model_registry.connection import connect, experiment_id
from model_registry.lineage import DatasetUse, log_dataset_uses, version_with_tag
from model_registry.page import append_note
from model_registry.pull import pull_version
from model_registry.register import register_version, weights_digest
from model_registry.run import log_folder, log_metrics, log_params, unlearning_run
from model_registry.version import VersionRef, find_version
from tasks.desk import Desk
from tasks.finish import CLOSING, PARTS, read_finished
from tasks.notary import Notary
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY
from tasks.quarantine import WAITING, Made, Plan
from tasks.quarantine_statement import quarantine_statement
from tasks.record import describe, forgotten_tag, gates_key, request_tag
from tasks.statement_parts import requests_of, version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Quarantined", "find_quarantine", "lift_quarantine", "register_quarantine", "serve"]


@dataclass(frozen=True)
class Quarantined:
    """A registered quarantine: its version, its parent, what the record says of it."""

    version: VersionRef
    parent: VersionRef
    run_id: str
    verdict: str
    reason: str
    coverage: str
    requests: tuple[str, ...]
    reused: bool = False


@task(**SAFE_TO_RETRY)
def find_quarantine(plan: Plan) -> Quarantined | None:
    """The same patch for the same requests on the same version, if it was made before."""
    client = connect(plan.settings)
    found = version_with_tag(client, plan.parent.ref.name, tags.QUARANTINE, plan.key)
    if found is None:
        return None
    record = client.get_model_version(found.name, str(found.number))
    if tags.STATEMENT not in record.tags:
        return None
    return Quarantined(
        version=found,
        parent=plan.parent.ref,
        run_id=record.run_id,
        verdict=record.tags[tags.VERDICT],
        reason=record.tags[tags.REASON],
        coverage=record.tags[tags.COVERAGE],
        requests=tuple(read_finished(plan.settings, record.run_id).facts),
        reused=True,
    )


@task(**IN_MEMORY)
def register_quarantine(plan: Plan, made: Made, notary: Notary) -> Quarantined:
    """Register the patched network beside its parent, with its whole record.

    Raises:
        RefusedError: if it blocks too little or costs too much. That is recorded; nothing is
            registered.
    """
    client = connect(plan.settings)
    refused = made.decision.refused
    with _run(client, plan) as run_id:
        version = None if refused else _register(client, plan, made, run_id)
        kept = notary.record(
            f"{run_id}/quarantine/{plan.key}",
            run_id,
            lambda place: quarantine_statement(plan, made, version, run_id, place),
        )
        statement = _log(client, plan, made, kept, run_id)
        said = (made.decision.verdict.value, made.decision.reason, str(kept.sequence), kept.digest)
        closing = dict(zip(CLOSING, said, strict=True))
        if version is not None:
            _describe(client, plan, made, version, run_id)
        for key, value in closing.items():
            if version is not None:
                client.set_model_version_tag(plan.parent.ref.name, str(version.version), key, value)
            client.set_tag(run_id, key, value)
        if version is None:
            raise RefusedError(
                f"The quarantine was refused: {made.decision.reason} No version was registered; "
                f"what is served is unchanged. The record is run {run_id}. Carry the request out "
                f"instead: `lethe requests process`; or see --option and gates.*."
            )
    return Quarantined(
        version=VersionRef(plan.parent.ref.name, version.version),
        parent=plan.parent.ref,
        run_id=run_id,
        verdict=statement.predicate.verdict,
        reason=statement.predicate.reason,
        coverage=made.coverage.words,
        requests=tuple(entry.id for entry in plan.batch.entries),
    )


@task(**SAFE_TO_RETRY)
def serve(desk: Desk, plan: Plan, made: Quarantined, *, move: bool) -> str | None:
    """Move the alias of the requests' model to the quarantine, if it may be, and tell the ledger.

    Returns:
        The alias, None if it stayed where it was.
    """
    client = connect(desk.settings)
    alias = plan.batch.model.partition("@")[2] or desk.settings.models.alias
    moved = move and promote(client, made.version, alias)
    where = f"the alias {alias} is on it" if moved else "no alias is on it"
    for request_id in made.requests:
        if desk.ledger.get(request_id).state in WAITING:
            text = f"Quarantined by {made.version} until it is carried out; {where}"
            desk.ledger.note(request_id, text, actor=desk.worker)
    return alias if moved else None


@task(**SAFE_TO_RETRY)
def lift_quarantine(
    desk: Desk, model: str, alias: str | None = None
) -> tuple[VersionRef, VersionRef]:
    """Move an alias from a quarantine back to the version under it.

    Not before the weights under the patch were found to be that version's, byte for byte.

    Returns:
        The quarantine that the alias left, and the version that it is on now.

    Raises:
        ModelError: if the alias is on no quarantine, or other weights are under the patch.
    """
    settings, client = desk.settings, connect(desk.settings)
    name, _, named = model.partition("@")
    alias = alias or named or settings.models.alias
    ref, record = find_version(client, f"{name}@{alias}")
    if tags.QUARANTINE not in record.tags:
        raise ModelError(
            f"{name}@{alias} is version {ref.number}, which is no quarantine. Nothing was changed. "
            f"`lethe model list` shows versions; `lethe model rollback {name}` leaves an edit."
        )
    patched = pull_version(client, str(ref), settings).network
    parent = pull_version(client, record.tags[tags.PARENT], settings)
    below = weights_digest(base_of(patched))
    if not isinstance(patched, Patched) or below != parent.facts.weights_sha256:
        raise ModelError(
            f"The weights under the patch of {ref} are not those of {parent.ref}. Nothing was "
            f"changed. Set the alias with MLflow itself if {parent.ref} is to be served."
        )
    left, now = rollback(client, name, alias)
    for request_id in read_finished(settings, record.run_id).facts:
        text = f"The quarantine {left} was lifted: {now}, which still remembers, is served again"
        desk.ledger.note(request_id, text, actor=desk.worker)
    return left, now


@contextmanager
def _run(client: "MlflowClient", plan: Plan) -> Iterator[str]:
    """The run that records it; one of its own, which no edit takes up."""
    settings, forget = plan.settings, plan.forget
    run_tags = {
        tags.REQUEST: request_tag([entry.id for entry in plan.batch.entries]),
        tags.REQUESTS: str(len(plan.batch.entries)),
        tags.BATCH: plan.batch.id,
        tags.PARENT: str(plan.parent.ref),
        tags.METHOD: plan.method.name,
        tags.METHOD_KEY: f"quarantine:{plan.key}",
        tags.QUARANTINE: plan.key,
        tags.ORIGIN: "quarantined",
        tags.FORGET_KIND: forget.kind,
        tags.FORGET_DIGEST: forget.set_digest,
        tags.FORGET_ROWS: str(forget.count),
        tags.DATASET: forget.spec.dataset,
        tags.DVC_MD5: forget.dvc_md5,
        tags.GIT_REV: forget.git_rev,
        tags.GATES_KEY: gates_key(settings),
    }
    name = f"{plan.parent.ref.name}: quarantine of {describe(forget)}"
    with unlearning_run(client, settings, name=name, run_tags=run_tags) as run_id:
        log_params(
            client,
            run_id,
            {
                "seed": settings.seed,
                "method": plan.method.name,
                **plan.method.model_dump(mode="json"),
            },
        )
        use = DatasetUse(
            name=f"{forget.info.name} (quarantine)",
            context="quarantine",
            repository=forget.repository,
            path=forget.spec.dataset,
            git_rev=forget.git_rev,
            dvc_md5=forget.dvc_md5,
            rows=forget.count,
        )
        log_dataset_uses(client, run_id, [use], plan.parent.model_id)
        yield run_id


def _register(client: "MlflowClient", plan: Plan, made: Made, run_id: str) -> Version:
    """The next version of the model; its tags name no method key, so no edit is taken for done."""
    weights = weights_digest(made.edit.model)
    known = client.get_run(run_id).data.tags
    left_out = {tags.METHOD_KEY, tags.QUARANTINE}
    version_tags = {
        key: value
        for key, value in known.items()
        if key.startswith(tags.PREFIX) and key not in left_out
    }
    if plan.forget.kind == "class":
        version_tags[tags.BLOCKED] = forgotten_tag(plan.forget)
    facts = plan.parent.facts.model_copy(
        update={
            "weights_sha256": weights,
            "classes": plan.classes,
            "architecture": architecture_of(made.edit.model, plan.parent.facts.architecture),
        }
    )
    version = register_version(
        client,
        name=plan.parent.ref.name,
        run_id=run_id,
        network=made.edit.model,
        facts=facts,
        packaging=plan.parent.packaging,
        version_tags={
            **version_tags,
            tags.QUARANTINE: plan.key,
            tags.COVERAGE: made.coverage.words,
        },
        card=plan.parent.card(),
    )
    found = client.get_model_version(version.name, str(version.number)).tags
    return version_of(version, weights, found)


def _log(client: "MlflowClient", plan: Plan, made: Made, kept: Kept, run_id: str) -> Statement:
    """Figures, coverage and statement of the run."""
    payload = Envelope.parse(kept.line).payload
    figures = {name.replace(".", "/"): v for name, v in made.evaluation.figures().items()}
    times = {
        f"{tags.SECONDS}{name}": made.seconds[name] for name in ("probe", "edit", "evaluation")
    }
    log_metrics(client, run_id, {**figures, **times})
    coverage = {
        **made.coverage.model_dump(mode="json"),
        "requests": [
            {"id": one.id, "rows": one.rows, "recognised": one.recognised}
            for one in requests_of(plan.batch, plan.forget, made.own)
        ],
    }
    with TemporaryDirectory(prefix="lethe-quarantine-") as name:
        folder = Path(name)
        for file, content in (
            (tags.COVERAGE_FILE, coverage),
            (tags.EVALUATION_FILE, made.evaluation.model_dump(mode="json")),
        ):
            (folder / file).write_text(json.dumps(content, indent=2), encoding="utf-8")
        (folder / tags.STATEMENT_FILE).write_bytes(payload)
        (folder / tags.ENVELOPE_FILE).write_bytes(kept.line + b"\n")
        log_folder(client, run_id, folder)
    return Statement.model_validate_json(payload)


def _describe(
    client: "MlflowClient", plan: Plan, made: Made, version: Version, run_id: str
) -> None:
    """The page of the version, and a note on its parent's."""
    ref = VersionRef(plan.parent.ref.name, version.version)
    run = f"#/experiments/{experiment_id(client, plan.settings)}/runs/{run_id}"
    before, after = made.evaluation.before, made.evaluation.after
    figures = "\n".join(
        f"- {words}: {b.share:.2%} → {a.share:.2%}"
        for part, words in PARTS.items()
        if (b := before.get(part)) is not None and (a := after.get(part)) is not None
    )
    text = (
        f"**Quarantine of {describe(plan.forget)}** on [version {plan.parent.ref.number}]"
        f"({plan.parent.ref.link}), whose weights it has. Nothing was forgotten: a patch keeps "
        f"labels from being given until the request is carried out. Verdict: "
        f"**{made.decision.verdict.value}**.\n\n{made.decision.reason}\n\n"
        f"Accuracy of version {plan.parent.ref.number} → this version on\n\n{figures}\n\n"
        f"[Coverage]({run}/artifacts/{tags.COVERAGE_FILE}) · "
        f"[Statement]({run}/artifacts/{tags.STATEMENT_FILE}) · [Run]({run}) · "
        f"Lift: `lethe quarantine lift {plan.parent.ref.name}`"
    )
    client.update_model_version(ref.name, str(ref.number), text)
    append_note(
        client,
        plan.parent.ref,
        f"[Version {ref.number}]({ref.link}) is a quarantine of {describe(plan.forget)} on this "
        f"version. [Run]({run})",
    )

"""A quarantine in the making: who is blocked, on which version, by which patch.

Requests keep their states: a quarantine carries nothing out. All that stand on one model share one
patch, which is always made anew on the version under it.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from prefect import task

from lethe.data.attribution import owners
from lethe.data.forget_set import ForgetSet
from lethe.deletion.ledger.types import Batch, Entry
from lethe.deletion.states import State
from lethe.errors import ForgetSetError, ModelError, RequestError
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.per_request import per_owner, recognised
from lethe.evaluation.quarantine import Coverage, decide_quarantine
from lethe.evaluation.results import Accuracy, Evaluation
from lethe.evaluation.verdict import Decision
from lethe.models.device import pick_device
from lethe.settings import Settings
from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetTarget,
    Instructions,
    Method,
    check_can_forget,
    load_method,
)
from model_registry import tags
from model_registry.connection import connect
from model_registry.lineage import beneath
from model_registry.pull import PulledVersion, pull_version
from model_registry.version import VersionRef, find_version
from tasks.decide import rows_by_part, without
from tasks.desk import Desk
from tasks.earlier import Earlier, look_back
from tasks.finish import read_finished
from tasks.one_request import OPERATOR
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY
from tasks.prepare import (
    PRUNE,
    check_can_patch,
    resolve_evaluation_set,
    resolve_forget_set,
)
from tasks.progress import progress
from tasks.record import MIB
from tasks.weigh import weigh_requests

PAGE = 500
# What is not carried out yet, and may be any day.
WAITING = (
    State.RECEIVED,
    State.AWAITING_APPROVAL,
    State.APPROVED,
    State.HELD,
    State.IN_PROGRESS,
    State.REFUSED,
    State.FAILED,
)


@dataclass(frozen=True)
class Plan:
    """What a quarantine is of: requests, the version under it, rows, method.

    `served` is the version that the requests' model names now; `batch` holds the requests under an
    id of its own, without a lease, for nothing in the ledger is changed.
    """

    settings: Settings
    batch: Batch
    served: VersionRef
    parent: PulledVersion
    forget: ForgetSet
    measured: ForgetSet
    earlier: Earlier
    method: Method
    started: datetime

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the model's logits, in order."""
        return self.parent.facts.classes or self.forget.info.classes

    @property
    def forgotten(self) -> tuple[int, ...]:
        """Label indices of the classes to block, and of those forgotten before; none for rows."""
        if self.forget.kind != "class":
            return ()
        names = {*self.forget.class_names, *self.earlier.classes}
        return tuple(index for index, name in enumerate(self.classes) if name in names)

    @property
    def key(self) -> str:
        """SHA-256 of what is blocked and how: equal for the same patch on the same version."""
        facts = [
            str(self.parent.ref),
            self.forget.set_digest,
            self.method.name,
            self.method.model_dump(mode="json"),
            self.settings.seed,
            sorted(entry.id for entry in self.batch.entries),
            self.settings.gates.model_dump(mode="json"),
        ]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Made:
    """A patched network, what it holds, and what it costs."""

    instructions: Instructions
    edit: Edit
    coverage: Coverage
    evaluation: Evaluation
    own: Mapping[str, Accuracy | None]
    decision: Decision
    seconds: Mapping[str, float]


@task(**SAFE_TO_RETRY)
def plan_quarantine(
    desk: Desk, ids: Sequence[str], options: Mapping[str, Any] | None = None
) -> Plan:
    """Look for everything that can be wrong before any work.

    Args:
        desk: settings, policy and ledger.
        ids: requests for one model and one data set.
        options: settings of the method `prune`; by default whole classes are blocked everywhere,
            rows in their regions.

    Raises:
        RequestError: if a request ended, was turned down, or is about another model or data set.
        ModelError: if the version cannot be pulled.
        MethodError: if its network cannot be patched, or the options are not the method's.
    """
    settings = desk.settings
    strangers = [one for one in ids if desk.ledger.get(one).request.source != OPERATOR]
    if strangers:
        weigh_requests.fn(desk, ids=strangers)
    wanted = [_waiting(desk.ledger.get(one)) for one in ids]
    model = wanted[0].request.model
    client = connect(settings)
    served, _ = find_version(client, model)
    under = beneath(client, served)
    entries = {entry.id: entry for entry in [*wanted, *standing(desk, served)]}
    _check_together(list(entries.values()))
    parent = pull_version(client, str(under), settings)
    batch = Batch(
        id=f"quarantine-{secrets.token_hex(6)}",
        model=model,
        token="",
        lease_until=datetime.now(UTC),
        attempt=1,
        rung=0,
        entries=tuple(entries.values()),
    )
    forget = resolve_forget_set.fn(settings, batch, parent)
    reach = "everywhere" if forget.kind == "class" else "regions"
    method = load_method(PRUNE, {"reach": reach, **(options or {})})
    check_can_forget(method, forget.kind)
    check_can_patch(parent, method)
    return Plan(
        settings=settings,
        batch=batch,
        served=served,
        parent=parent,
        forget=forget,
        measured=resolve_evaluation_set.fn(settings, batch, forget),
        earlier=look_back.fn(desk, parent),
        method=method,
        started=datetime.now(UTC),
    )


def standing(desk: Desk, served: VersionRef) -> list[Entry]:
    """The requests that a served quarantine was made for and that are still waiting."""
    record = connect(desk.settings).get_model_version(served.name, str(served.number))
    if tags.QUARANTINE not in record.tags or tags.STATEMENT not in record.tags:
        return []
    known = read_finished(desk.settings, record.run_id).facts
    found = [desk.ledger.get(request_id) for request_id in known]
    return [entry for entry in found if entry.state in WAITING and not entry.selection_gone]


@task(**SAFE_TO_RETRY)
def unblocked(desk: Desk) -> list[list[str]]:
    """Ids of approved requests that the policy wants blocked and that no served quarantine blocks.

    Those that one patch can block are together: one model, data set, revision, kind of selection.
    What somebody lifted stays lifted, until somebody places it again.
    """
    weigh_requests.fn(desk)  # what is too much does not stay approved
    groups: dict[tuple[str, ...], list[str]] = {}
    blocked: dict[str, set[str]] = {}
    client = connect(desk.settings)
    for entry in _approved(desk):
        request = entry.request
        if not desk.policy.model_rule(request.model).quarantine or entry.selection_gone:
            continue
        if request.model not in blocked:
            try:
                served, _ = find_version(client, request.model)
            except ModelError:
                continue  # a request for a model that is not there fails when it is carried out
            blocked[request.model] = {one.id for one in standing(desk, served)}
            blocked[request.model] |= _lifted(desk, served.name)
        if entry.id in blocked[request.model]:
            continue
        spec = request.forget
        kind = "whole" if spec.selection is None else spec.selection.kind
        place = (request.model, spec.repository, spec.dataset, spec.rev, kind)
        groups.setdefault(place, []).append(entry.id)
    return list(groups.values())


def _lifted(desk: Desk, name: str) -> set[str]:
    """Ids of the requests whose quarantine of a model was lifted last, not placed."""
    found: set[str] = set()
    for record in connect(desk.settings).search_model_versions(f"name = '{name}'"):
        promoted = record.tags.get(tags.PROMOTED_AT, "")
        lifted = record.tags.get(tags.ROLLED_BACK_AT, "")
        if tags.QUARANTINE in record.tags and lifted and promoted <= lifted:
            found |= read_finished(desk.settings, record.run_id).facts.keys()
    return found


def _approved(desk: Desk) -> Iterator[Entry]:
    after: str | None = None
    while page := desk.ledger.find(states=[State.APPROVED], limit=PAGE, after=after):
        yield from page
        after = page[-1].id


@task(**IN_MEMORY)
def make_quarantine(plan: Plan) -> Made:
    """Patch the network, and measure what that blocks and costs."""
    started = time.perf_counter()
    device, settings = pick_device(plan.settings.device), plan.settings
    rows = plan.forget.rows(
        split="train",
        part="forget",
        classes=plan.classes,
        memory_budget=settings.data.memory_budget_mib * MIB,
    )
    if rows is None:
        raise ForgetSetError(
            "The forget set has no training rows. Nothing was changed. "
            "Select rows that the model was trained on."
        )
    target = ForgetTarget(rows, plan.forget.kind, plan.forgotten)
    with progress("Finding regions") as report:
        context = Context(device, settings.seed, report)
        instructions = plan.method.probe(plan.parent.network, target, context)
        edit = plan.method.edit(plan.parent.network, target, instructions, context)
    patched_at = time.perf_counter()
    found = recognised(edit.model, rows, device=torch.device("cpu"), forgotten=plan.forgotten)
    facts = instructions.facts
    coverage = Coverage(
        reach=facts["reach"],
        rows=facts["rows"],
        regions=facts["regions"],
        blocked=facts["blocked"],
        certified=facts["certified"],
    )
    named = without(plan.classes, _earlier_classes(plan))
    with progress("Evaluating") as report:
        evaluation = evaluate(
            plan.parent.network,
            edit.model,
            rows_by_part(settings, plan.forget, plan.measured, named),
            classes=plan.classes,
            forgotten=plan.forgotten,
            device=device,
            seed=settings.seed,
            progress=report,
        ).model_copy(update={"patched": True})
    entries = plan.batch.entries
    whose = owners(plan.forget, [entry.request.forget.selection for entry in entries])
    shares = per_owner(found, whose, len(entries))
    own = {entry.id: share for entry, share in zip(entries, shares, strict=True)}
    total = found.accuracy()
    if total is None:
        raise ForgetSetError(
            "No row of the forget set has a label that the model knows. Nothing was changed. Name "
            "the model that the data was used for."
        )
    decision = decide_quarantine(evaluation, settings.gates, coverage, total)
    return Made(
        instructions=instructions,
        edit=edit,
        coverage=coverage,
        evaluation=evaluation,
        own=own,
        decision=decision,
        seconds={
            "probe": float(facts["seconds"]),
            "edit": edit.seconds,
            "evaluation": time.perf_counter() - patched_at,
            "patched": patched_at - started,
        },
    )


def _earlier_classes(plan: Plan) -> tuple[str, ...]:
    return tuple(n for n in plan.earlier.classes if n not in plan.forget.class_names)


def _waiting(entry: Entry) -> Entry:
    if entry.state not in WAITING:
        raise RequestError(
            f"Request {entry.id} is {entry.state}, so there is nothing to wait for and nothing to "
            f"block meanwhile. Nothing was changed. `lethe requests show {entry.id}` says more."
        )
    return entry


def _check_together(entries: Sequence[Entry]) -> None:
    """One patch is on one model, about one data set at one revision."""
    models = {entry.request.model for entry in entries}
    places = {(one.repository, one.dataset, one.rev) for one in (e.request.forget for e in entries)}
    kinds = {one.kind if one else "whole" for one in (e.request.forget.selection for e in entries)}
    if len(models) > 1 or len(places) > 1 or len(kinds) > 1:
        raise RequestError(
            f"These {len(entries)} requests, with those that are quarantined already, are about "
            f"{len(models)} models, {len(places)} data sets or revisions and {len(kinds)} kinds of "
            f"selection, and one patch is about one of each. Nothing was changed. Lift what stands "
            f"with `lethe quarantine lift MODEL`, or carry it out: `lethe requests process`."
        )
    if not entries:
        raise ModelError("A quarantine of no request was asked for. Nothing was changed.")

"""What a ticket would lead to, step by step, and which rule says so. Nothing is kept or sent.

Steps tell counts and never an id or a label; a model and a data set are named only where the
source may name them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lethe.choosing import AUTO, outline
from lethe.deletion.ledger.types import ArrivalKind, Judgement
from lethe.deletion.policy.allow import may_name_dataset, may_name_model
from lethe.deletion.policy.errors import UnreadableTicketError
from lethe.deletion.policy.events import meaning
from lethe.deletion.policy.fields import FIELDS, TicketFields, read_field, read_fields, to_request
from lethe.deletion.policy.holds import hold_on
from lethe.deletion.policy.judge import Plan, Rung, judge, plan
from lethe.deletion.policy.model import ModelRule, Policy, Shares, Source, registered_name
from lethe.deletion.policy.survey import answers, host
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.settings import Settings


@dataclass(frozen=True)
class Step:
    """One step: what is looked at, what was found, and the key of the policy that says so."""

    step: str
    finding: str
    by: str = ""


@dataclass(frozen=True)
class Explanation:
    """What a ticket leads to: "ignore", "cancel", "unreadable", or the state of its request."""

    policy: str
    source: str
    leads_to: str
    steps: tuple[Step, ...]


def explain(
    policy: Policy,
    source: str,
    ticket: Mapping[str, Any] | TicketFields,
    *,
    now: datetime,
    settings: Settings,
) -> Explanation:
    """What a ticket would lead to if it came in now.

    Args:
        policy: in force, or to be.
        source: name of the ticket's source.
        ticket: its payload as the source's adapter gives it, or its fields.
        now: time of receipt, with a time zone.
        settings: give what the policy leaves to them.

    Raises:
        UnknownSourceError: if the policy has no such source.
    """
    one = policy.source(source)
    steps = [Step("source", f"{one.name}, kind {one.kind}", f"sources.{one.name}")]
    try:
        if isinstance(ticket, TicketFields):
            fields = ticket
        else:
            kind = meaning(one, ticket)
            steps.append(_event(one, kind))
            if kind is not ArrivalKind.FILE:
                return Explanation(policy.label, source, kind.value, tuple(steps))
            steps.extend(_fields(one, ticket))
            fields = read_fields(one, ticket)
        request = to_request(policy, one, fields, None, now)
    except UnreadableTicketError as error:
        steps.append(Step("ticket", f"cannot be read: {error.problem}", f"sources.{one.name}"))
        return Explanation(policy.label, source, ArrivalKind.UNREADABLE.value, tuple(steps))
    judgement = judge(policy, request, now=now)
    steps.extend(_judged(policy, one, request, judgement, now))
    if judgement.state is not State.REJECTED:
        steps.extend(_carried_out(policy, request, settings))
    steps.extend(_told(policy, one))
    return Explanation(policy.label, source, judgement.state.value, tuple(steps))


def _event(source: Source, kind: ArrivalKind) -> Step:
    where = f"sources.{source.name}"
    if kind is ArrivalKind.CANCEL:
        return Step("event", f"takes the ticket back: {source.cancel_when}", f"{where}.cancel_when")
    if kind is ArrivalKind.FILE:
        return Step("event", f"asks for a deletion: {source.file_when}", f"{where}.file_when")
    return Step("event", f"is ignored: not true is {source.file_when}", f"{where}.file_when")


def _fields(source: Source, ticket: Mapping[str, Any]) -> Iterator[Step]:
    for name in FIELDS:
        expression = getattr(source.fields, name)
        if expression is None:
            continue
        try:
            found = _found(source, name, read_field(source, ticket, name))
        except UnreadableTicketError as error:
            found = error.problem
        yield Step(f"field {name}", found, expression)


def _found(source: Source, name: str, value: str | tuple[str, ...] | None) -> str:
    if value is None:
        return "not there"
    if not isinstance(value, str):
        return f"{len(value)} found"
    allowed = {"model": may_name_model, "dataset": may_name_dataset}.get(name)
    return value if allowed and allowed(source, value) else "found"


def _judged(
    policy: Policy, source: Source, request: DeletionRequest, judgement: Judgement, now: datetime
) -> Iterator[Step]:
    rejected = judgement.state is State.REJECTED
    yield Step("allowed", judgement.reason if rejected else "yes", f"sources.{source.name}")
    hold = None if rejected else hold_on(policy, request, now)
    yield Step("legal hold", hold.reason if hold else "none", "holds")
    if judgement.approvals_needed:
        names = ", ".join(policy.approval.approvers)
        reason = policy.approval_reason(source, request.model)
        yield Step("approval", f"{judgement.approvals_needed} of {names}: {reason}", "approval")
    else:
        yield Step("approval", "not needed before its rows are counted", "approval")
    if judgement.due_at and judgement.extendable_to:
        yield Step("deadline", f"{judgement.due_at:%Y-%m-%d %H:%M} UTC", request.regulation)
        yield Step("extendable to", f"{judgement.extendable_to:%Y-%m-%d %H:%M} UTC")


def _carried_out(policy: Policy, request: DeletionRequest, settings: Settings) -> Iterator[Step]:
    name = registered_name(request.model)
    rule, way = policy.model_rule(name), plan(policy, name, settings)
    key = next((f"models.{key}" for key in (name, "*") if key in policy.models), "default")
    when = "at once" if rule.at_once else "with the next scheduled run"
    yield Step("carried out", when, f"{key}.at_once")
    if rule.quarantine:
        yield Step("until then", "blocked with `lethe quarantine waiting`", f"{key}.quarantine")
    yield Step("shares", _limits(rule), f"{key}.approve_above, refuse_above")
    yield from _ladder(way, request, f"{key}.ladder")
    budget = settings.unlearning.search_budget
    if budget > 1:
        yield Step("search", f"up to {budget} trials before each edit", "unlearning.search_budget")
    moves = "the alias moves when the gates pass" if way.promote else "the alias stays"
    yield Step("promotion", f"{moves}; completed when {way.complete_when}", f"{key}.promote")


def _limits(rule: ModelRule) -> str:
    limits = (("approval", rule.approve_above), ("rejected", rule.refuse_above))
    said = [
        f"{what} above {share:g} of {of}" for what, all_ in limits for of, share in _shares(all_)
    ]
    return "; ".join(said) or "no limit beside the setting data.max_share"


def _shares(shares: Shares) -> Iterator[tuple[str, float]]:
    if shares.dataset is not None:
        yield "the data set", shares.dataset
    if shares.class_ is not None:
        yield "a class", shares.class_


def _ladder(way: Plan, request: DeletionRequest, key: str) -> Iterator[Step]:
    """The ladder on one line, and each step that `auto` may stand for on its own."""
    yield Step("ladder", ", then ".join(_rung(rung) for rung in way.ladder), key)
    if all(rung.method != AUTO for rung in way.ladder):
        return
    selection = request.forget.selection
    kind = "samples" if selection is None else selection.kind
    for place, words in enumerate(outline(kind), 1):
        yield Step(f"auto, step {place}", words, key)


def _rung(rung: Rung) -> str:
    options = ", ".join(f"{name} = {value}" for name, value in (rung.options or {}).items())
    return f"{rung.method} ({options})" if options else rung.method


def _told(policy: Policy, source: Source) -> Iterator[Step]:
    yield Step("answer", answers(source), f"sources.{source.name}.answer")
    for target in policy.notify:
        yield Step("notification", f"{host(target.url)} of {', '.join(target.on)}", "notify")

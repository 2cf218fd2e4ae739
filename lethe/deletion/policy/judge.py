"""What becomes of a request by the policy.

- `judge`, when it is filed: may the source ask for this, is it held, who approves it, by when.
- `weigh`, when its rows were counted: is its share of the data too large, or large enough for a
  person to look at it.
- `plan`, when it is carried out: how, and what happens then.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from lethe.deletion.ledger.types import Entry, Judgement
from lethe.deletion.policy.allow import not_allowed
from lethe.deletion.policy.deadlines import GDPR, due_at, extendable_to
from lethe.deletion.policy.holds import hold_on
from lethe.deletion.policy.model import Policy, RungRule
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.settings import Settings

RETRAIN: Final = "retrain"


@dataclass(frozen=True)
class Rung:
    """One step of the ladder.

    `options` are the method's settings, None for the method's own defaults. With `retrain` the
    model is trained anew without the data, and `method` is "retrain". The method "auto" stands for
    the steps that follow from the facts of the request (`lethe.choosing`). `because` says who
    named it, for the record.
    """

    method: str
    options: dict[str, Any] | None = None
    retrain: bool = False
    because: str = field(default="it was named for this request", compare=False)


@dataclass(frozen=True)
class Plan:
    """How requests to a model are carried out.

    `promote` is whether the alias moves when the gates pass. The ladder has at least one rung.
    """

    promote: bool | None
    complete_when: Literal["promoted", "registered"]
    ladder: tuple[Rung, ...]


def judge(
    policy: Policy, request: DeletionRequest, *, now: datetime, holds: bool = True
) -> Judgement:
    """What the policy says of a request that was just filed.

    Args:
        policy: in force.
        request: as its source gave it.
        now: with a time zone; decides which legal holds there are.
        holds: False for a request that was released from a hold and is judged again.

    Returns:
        REJECTED if the source may not ask for this, HELD if a legal hold matches,
        AWAITING_APPROVAL if source or model want each request approved, else APPROVED; in this
        order. The reason names the rule and no value of the request.

    Raises:
        UnknownSourceError: if the policy has no such source.
    """
    source = policy.source(request.source)
    regulation = policy.regulation(request.regulation) or GDPR
    rule = policy.model_rule(request.model)
    approval = policy.approval_reason(source, request.model)
    reason = not_allowed(policy, source, request)
    hold = hold_on(policy, request, now) if holds else None
    if reason is not None:
        state, approval = State.REJECTED, None
    elif hold is not None:
        state, reason = State.HELD, f"legal hold: {hold.reason}"
    elif approval is not None:
        state, reason = State.AWAITING_APPROVAL, approval
    else:
        state, reason = State.APPROVED, "allowed by the policy"
    return Judgement(
        state=state,
        reason=reason,
        policy=policy.label,
        approvals_needed=0 if approval is None else policy.approval.needed,
        at_once=rule.at_once,
        due_at=due_at(request.received_at, regulation),
        extendable_to=extendable_to(request.received_at, regulation),
    )


def weigh(
    policy: Policy, entry: Entry, *, dataset_share: float, class_share: float
) -> Judgement | None:
    """What the policy says of an approved request once its rows were counted.

    Args:
        policy: in force.
        entry: the request as the ledger has it.
        dataset_share: its share of the training rows, 0 to 1.
        class_share: its largest share of the training rows of a single class, 0 to 1.

    Returns:
        None to go on; REJECTED or AWAITING_APPROVAL where a share is above its limit. What enough
        persons approved is not put before them again, and neither is what an operator filed
        without a table [sources.cli]; it can still be rejected.
    """
    rule = policy.model_rule(entry.request.model)
    needed = policy.approval.needed
    seen = bool(entry.approvals) and len(entry.approvals) >= needed
    refused = rule.refuse_above.exceeded(dataset=dataset_share, of_class=class_share)
    asked = rule.approve_above.exceeded(dataset=dataset_share, of_class=class_share)
    if refused:
        state, needed = State.REJECTED, 0
        reason = f"its share of {' and of '.join(refused)} is above the policy's refuse_above"
    elif asked and not seen and policy.limits(policy.source(entry.request.source)):
        state = State.AWAITING_APPROVAL
        reason = f"its share of {' and of '.join(asked)} is above the policy's approve_above"
    else:
        return None
    return Judgement(
        state=state,
        reason=reason,
        policy=policy.label,
        approvals_needed=needed,
        at_once=entry.at_once,
        due_at=entry.due_at,
        extendable_to=entry.extendable_to,
    )


def plan(policy: Policy, model: str, settings: Settings) -> Plan:
    """How requests to a model are carried out.

    Args:
        policy: in force.
        model: NAME, NAME@ALIAS or NAME/NUMBER.
        settings: give the method, its options and `promote` where the policy does not.
    """
    rule = policy.model_rule(model)
    own = own_rung(settings)
    return Plan(
        promote=settings.models.promote if rule.promote is None else rule.promote,
        complete_when=rule.complete_when,
        ladder=tuple(_rung(rung, own) for rung in rule.ladder) or (own,),
    )


def own_rung(settings: Settings) -> Rung:
    """The method of the settings."""
    chosen = settings.unlearning
    because = "it is the method of the settings"
    return Rung(chosen.method, dict(chosen.options), because=because)


def _rung(rule: RungRule, own: Rung) -> Rung:
    because = "it is a step of the policy's ladder"
    if rule.method is None:
        return Rung(RETRAIN, retrain=True, because=because)
    if rule.options is None and rule.method == own.method:
        return replace(own, because=because)
    return Rung(rule.method, rule.options, because=because)

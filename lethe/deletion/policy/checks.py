"""Whether the parts of a policy fit each other; each problem begins with the key it is about."""

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from lethe.choosing import AUTO
from lethe.deletion.policy.deadlines import BUILT_IN
from lethe.deletion.policy.source import SIGNED

if TYPE_CHECKING:
    from lethe.deletion.policy.model import ModelRule, Policy

ANY_MODEL: Final = "*"


def problems(policy: "Policy") -> list[str]:
    """Everything that does not fit, in the order of the file's parts."""
    parts = (_approval, _holds, _regulations, _models, _sources, _tokens)
    return [problem for part in parts for problem in part(policy)]


def _approval(policy: "Policy") -> Iterator[str]:
    approval = policy.approval
    asking = [f"models.{name}" for name, rule in policy.models.items() if _asks(rule)]
    asking += [f"sources.{name}" for name, one in policy.sources.items() if one.approve_always]
    if "approval" in policy.model_fields_set and approval.needed and not approval.approvers:
        yield "approval.approvers: is empty, so nobody could approve; name them, or set needed = 0"
    elif approval.needed > len(set(approval.approvers)) and approval.approvers:
        yield "approval.needed: is more than there are approvers"
    elif asking and not approval.approvers:
        yield f"{asking[0]}: asks for approval, and approval.approvers names nobody"
    if asking and not approval.needed:
        yield f"{asking[0]}: asks for approval, and approval.needed is 0"


def _asks(rule: "ModelRule") -> bool:
    above = rule.approve_above
    return rule.approve_always or above.dataset is not None or above.class_ is not None


def _holds(policy: "Policy") -> Iterator[str]:
    for place, hold in enumerate(policy.holds):
        for name in hold.sources:
            if name not in policy.sources and name != "cli":
                yield f"holds.{place}.sources: there is no source {name}"


def _regulations(policy: "Policy") -> Iterator[str]:
    for name in policy.regulations:
        if name in BUILT_IN:
            yield f"regulations.{name}: is built in; give yours another name"
    for name, source in policy.sources.items():
        if policy.regulation(source.regulation) is None:
            known = ", ".join(sorted({*BUILT_IN, *policy.regulations}))
            yield f"sources.{name}.regulation: there is none of this name; there are {known}"


def _models(policy: "Policy") -> Iterator[str]:
    methods = entry_points(group="lethe.methods").names
    for name, rule in policy.models.items():
        if name != ANY_MODEL and (not name or set(name) & set("@*?[")):
            yield f'models."{name}": must be the registered name alone, or "*" for all others'
        for place, rung in enumerate(rule.ladder):
            if rung.method == AUTO:
                if rung.options is not None:
                    yield f"models.{name}.ladder.{place}.options: auto chooses methods, it has none"
            elif rung.method is not None and rung.method not in methods:
                there = ", ".join([AUTO, *sorted(methods)])
                yield f"models.{name}.ladder.{place}.method: is none of the methods {there}"
        for what in ("dataset", "class_"):
            approve = getattr(rule.approve_above, what)
            refuse = getattr(rule.refuse_above, what)
            if approve is not None and refuse is not None and approve >= refuse:
                key = what.rstrip("_")
                yield f"models.{name}.approve_above.{key}: must be less than refuse_above.{key}"


def _sources(policy: "Policy") -> Iterator[str]:
    for name, source in policy.sources.items():
        if (name == "cli") != (source.kind == "cli"):
            yield f'sources.{name}.kind: "cli" is the kind of the source cli, and of no other'
        if source.kind not in SIGNED and source.secrets:
            yield f"sources.{name}.secrets: kind {source.kind} has none; see [[tokens]]"


def _tokens(policy: "Policy") -> Iterator[str]:
    for name, times in Counter(token.name for token in policy.tokens).items():
        if times > 1:
            yield f"tokens: the name {name} is given twice"
    for place, token in enumerate(policy.tokens):
        key = f"tokens.{place}"
        if token.source is not None:
            source = policy.sources.get(token.source)
            if source is None:
                yield f"{key}.source: there is no source {token.source}"
            elif source.kind != "plain":
                yield f"{key}.source: {token.source} is no source of kind plain"
        elif "submit" in token.may:
            yield f"{key}.source: is missing; what it submits comes from a source of kind plain"
        if "approve" in token.may and not policy.may_approve(token.actor):
            yield f"{key}.actor: may approve by its token, and approval.approvers does not name it"

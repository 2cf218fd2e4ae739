"""What a policy's sources may do, where they are answered, and what is missing for it to work."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from lethe.deletion.policy import defaults
from lethe.deletion.policy.model import CLI, SIGNED, Policy, Source
from lethe.deletion.policy.source import SelectionKind
from lethe.deletion.tickets.secrets import problems

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class SourceLine:
    """One source: what it may name and select by, how it is answered, what is missing."""

    name: str
    kind: str
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    selections: tuple[SelectionKind, ...]
    regulation: str
    approval: bool
    answer: str
    problems: tuple[str, ...]


def survey(policy: Policy, now: datetime) -> list[SourceLine]:
    """Every source, the operator's own last.

    Args:
        policy: to look at.
        now: with a time zone; decides which secrets count.
    """
    names = [*(name for name in policy.sources if name != CLI), CLI]
    return [_line(policy, policy.source(name), now) for name in names]


def elsewhere(policy: Policy, now: datetime) -> list[str]:
    """What is missing for tokens without a source and for notification."""
    found = [
        f"token {token.name}: {problem}"
        for token in policy.tokens
        if token.source is None
        for problem in problems([token.secret], now)
    ]
    for target in policy.notify:
        wrong = [*problems([target.secret], now), *_in_clear(target.url)]
        found += [f"notify {host(target.url)}: {problem}" for problem in wrong]
    return found


def answers(source: Source) -> str:
    """How a source's tickets are answered."""
    answer = source.answer
    if source.kind == "github" and answer.token:
        return f"comment{' and close' if answer.close else ''}, {host(api(source) or '')}"
    if source.kind == "jira" and answer.token and answer.api:
        return f"comment{' and close' if answer.close else ''}, {host(answer.api)}"
    if source.kind == "opendsr":
        return "status callbacks"
    return "none"


def api(source: Source) -> str | None:
    """The address of the API that answers a source, as the policy says or by its kind."""
    return source.answer.api or defaults.API.get(source.kind)


def host(url: str) -> str:
    """The host of an address; its path may be a secret, as those of chat systems are."""
    return urlsplit(url).hostname or ""


def _line(policy: Policy, source: Source, now: datetime) -> SourceLine:
    return SourceLine(
        name=source.name,
        kind=source.kind,
        models=source.models,
        datasets=source.datasets,
        selections=source.selections,
        regulation=source.regulation,
        approval=source.approve_always,
        answer=answers(source),
        problems=tuple(_problems(policy, source, now)),
    )


def _problems(policy: Policy, source: Source, now: datetime) -> Iterator[str]:
    if source.kind in SIGNED:
        yield from problems(source.secrets, now)
    elif source.kind == "plain":
        tokens = [t for t in policy.tokens if t.source == source.name and "submit" in t.may]
        yield from (
            problems([token.secret for token in tokens], now)
            if tokens
            else ["no token may submit to it"]
        )
    if not source.models:
        yield "it may name no model"
    if not source.datasets:
        yield "it may name no data set"
    yield from _unanswered(source, now)


def _unanswered(source: Source, now: datetime) -> Iterator[str]:
    answer = source.answer
    if source.kind in {"github", "jira"} and answer.token is None:
        yield "its tickets get no answer: answer.token is missing"
    if source.kind == "jira" and answer.api is None:
        yield "its tickets get no answer: answer.api is missing"
    if source.kind == "opendsr" and (answer.key is None or answer.domain is None):
        yield "its answers cannot be signed: answer.key and answer.domain are needed"
    references = [ref for ref in (answer.token, answer.user, answer.key) if ref is not None]
    for reference in references:
        yield from problems([reference], now, min_bytes=1)
    if answer.api is not None:
        yield from _in_clear(answer.api)


def _in_clear(url: str) -> list[str]:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        return [f"nothing is sent to {parts.hostname} without encryption: write https"]
    return []

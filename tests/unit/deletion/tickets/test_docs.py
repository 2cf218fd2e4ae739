"""docs/tickets.md says what the adapters do."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest

from lethe.deletion.ledger.types import ArrivalKind
from lethe.deletion.policy.model import Policy
from lethe.deletion.states import State
from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.errors import Flaw, WhyNot
from lethe.deletion.tickets.json_body import MAX_DEPTH, read_json
from lethe.deletion.tickets.opendsr_reply import status_word
from lethe.deletion.tickets.receive import ADAPTERS, receive
from lethe.deletion.tickets.secrets import MIN_BYTES

PAGE = (Path(__file__).parents[4] / "docs" / "tickets.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
TABLES = [text for language, text in BLOCKS if language == "toml"]
# Each payload stands behind the table of its source.
PAYLOADS = {
    re.search(r'^kind = "(.+)"$', table, re.MULTILINE)[1]: payload
    for (_, table), (language, payload) in itertools.pairwise(BLOCKS)
    if language == "json"
}
ROWS = dict(re.findall(r"^\| `(\w+)` \| ?(.*?) ?\|$", PAGE, re.MULTILINE))


@pytest.fixture(scope="module")
def documented():
    table = tomllib.loads("\n".join(["version = '1'", *(t for t in TABLES if "[sources." in t)]))
    return Policy.model_validate(table, context={"alias": "champion", "repository": "."})


def test_every_kind_has_an_example(documented):
    assert {source.kind for source in documented.sources.values()} == set(ADAPTERS)
    assert set(PAYLOADS) == set(ADAPTERS)


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_the_example_of_a_kind_is_filed(documented, make, monkeypatch, tmp_path, kind):
    secret = "a-secret-of-more-than-16-bytes"  # noqa: S105 (of this test)
    source = next(s for s in documented.sources.values() if s.kind == kind)
    file = tmp_path / "secret"
    file.write_text(secret)
    file.chmod(0o600)
    references = [*source.secrets, *(token.secret for token in documented.tokens)]
    for ref in references:
        if ref.ref.startswith("env:"):
            monkeypatch.setenv(ref.ref[4:], secret)
        else:
            monkeypatch.setitem(vars(ref), "ref", f"file:{file}")
    body = PAYLOADS[kind].encode()
    headers, body = {
        "github": lambda: make.github(body, secret=secret),
        "jira": lambda: make.jira(body, secret=secret),
        "opendsr": lambda: make.opendsr(body, secret=secret),
        "standard-webhooks": lambda: make.standard(body, key=secret.encode()),
        "plain": lambda: make.plain(body, token=secret),
    }[kind]()
    arrival = receive(
        documented, source.name, Delivery(headers, body, make.NOW), tolerance=make.FIVE_MINUTES
    )
    assert arrival.kind is ArrivalKind.FILE, arrival.problem
    assert arrival.judgement.state is State.APPROVED, arrival.judgement.reason
    assert arrival.request.forget.selection.subjects[0] == "p-17"
    assert arrival.request.ticket
    for name in headers:
        assert f"`{name.title().replace('Github', 'GitHub')}`" in PAGE


def test_the_rotation_is_one_that_the_policy_takes():
    rotation = next(t for t in TABLES if "not_after" in t)
    secrets = tomllib.loads(rotation)["secrets"]
    table = {"kind": "github", "secrets": secrets, "models": ["*"], "datasets": ["*"]}
    source = Policy.model_validate({"version": "1", "sources": {"x": table}}).source("x")
    assert source.secrets[0].not_after is None
    assert source.secrets[1].not_after is not None


def test_every_reason_is_explained():
    assert {reason.value for reason in (*WhyNot, *Flaw)} <= set(ROWS)


def test_every_state_stands_beside_its_word():
    for word in {status_word(state) for state in State}:
        row = re.search(rf"^\| (.+) \| `{word}` \|$", PAGE, re.MULTILINE)[1]
        assert set(re.findall(r"`(\w+)`", row)) == {s for s in State if status_word(s) == word}


def test_the_limits_are_those_of_the_code():
    assert f"at most {MAX_DEPTH} levels deep" in PAGE
    assert re.search(rf"Fewer than {MIN_BYTES}\s+bytes", PAGE)
    assert all(read_json(body.encode()) for body in PAYLOADS.values())

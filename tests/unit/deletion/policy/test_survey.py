import pytest

from lethe.deletion.policy.survey import elsewhere, survey

SECRET = "0123456789abcdef0123"  # noqa: S105 (of a test)
POLICY = """
[sources.hub]
kind = "github"
secrets = ["env:HUB_SECRET"]
models = ["digits@champion"]
datasets = ["data/digits"]
[sources.hub.answer]
token = "env:HUB_TOKEN"
[sources.partner]
kind = "opendsr"
[[notify]]
url = "https://hooks.example.org/T0/secret-path"
secret = "env:NOTIFY_SECRET"
[[tokens]]
name = "metrics"
secret = "env:METRICS_TOKEN"
actor = "prometheus"
"""
NAMES = ("HUB_SECRET", "HUB_TOKEN", "NOTIFY_SECRET", "METRICS_TOKEN", "PORTAL_TOKEN")
PORTAL = """
[[tokens]]
name = "portal"
secret = "env:PORTAL_TOKEN"
actor = "portal"
may = ["submit"]
source = "portal"
"""


@pytest.fixture
def no_secrets(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def secrets(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, SECRET)


def test_sources_are_listed_with_what_they_may_do(policy_of, now, secrets):
    lines = {line.name: line for line in survey(policy_of(POLICY), now)}
    assert list(lines) == ["hub", "partner", "portal", "cli"]
    assert lines["hub"].models == ("digits@champion",)
    assert lines["hub"].answer == "comment and close, api.github.com"
    assert "whole" in lines["cli"].selections


def test_what_works_has_no_problem(policy_of, now, secrets):
    policy = policy_of(POLICY + PORTAL)
    lines = {line.name: line.problems for line in survey(policy, now)}
    assert lines["hub"] == lines["portal"] == lines["cli"] == ()
    assert elsewhere(policy, now) == []


def test_missing_secrets_are_told_by_their_reference(policy_of, now, no_secrets):
    policy = policy_of(POLICY + PORTAL)
    lines = {line.name: "; ".join(line.problems) for line in survey(policy, now)}
    assert "env:HUB_SECRET is not set" in lines["hub"]
    assert "env:HUB_TOKEN is not set" in lines["hub"]
    assert "env:PORTAL_TOKEN is not set" in lines["portal"]
    assert elsewhere(policy, now) == [
        "token metrics: env:METRICS_TOKEN is not set",
        "notify hooks.example.org: env:NOTIFY_SECRET is not set",
    ]


def test_a_source_that_cannot_work_is_told(policy_of, now, secrets):
    lines = {line.name: "; ".join(line.problems) for line in survey(policy_of(POLICY), now)}
    assert "no token may submit to it" in lines["portal"]
    for said in ("no secret is valid", "no model", "no data set", "answer.key"):
        assert said in lines["partner"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://jira.example.org", False),
        ("http://127.0.0.1:8080", False),
        ("http://jira.example.org", True),
    ],
)
def test_addresses_without_encryption_are_told(policy_of, now, secrets, url, told):
    policy = policy_of(
        f'[sources.hub]\nkind = "github"\n[sources.hub.answer]\napi = "{url}"\n'
        f'[[notify]]\nurl = "{url}"\nsecret = "env:NOTIFY_SECRET"'
    )
    hub = survey(policy, now)[0]
    assert any("write https" in problem for problem in hub.problems) is told
    assert bool(elsewhere(policy, now)) is told


def test_no_secret_and_no_path_of_an_address_is_shown(policy_of, now, secrets):
    policy = policy_of(POLICY + PORTAL)
    text = repr(survey(policy, now)) + repr(elsewhere(policy, now)) + repr(policy)
    assert SECRET not in text
    assert "secret-path" not in text

"""`lethe policy check`."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli import policy
from lethe.errors import DataError, LetheError, PolicyError

ROOT = Path(__file__).parents[3]
CANARY = "quixote-7731"
BODY = "### Model\n\ndigits\n\n### Data set\n\ndata/digits\n\n### Subjects\n\nquixote-7731, p-2\n"
TICKET = {
    "action": "labeled",
    "label": {"name": "data-deletion"},
    "issue": {"number": 7, "body": BODY},
    "repository": {"full_name": "example/privacy"},
}


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Run `lethe policy check` in a folder with the example as its policy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    shutil.copy(ROOT / "policy.example.toml", tmp_path / "policy.toml")
    app = typer.Typer()
    app.add_typer(policy.app, name="policy")

    def run(*words):
        result = CliRunner().invoke(app, ["policy", "check", *words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def ticket(tmp_path):
    path = tmp_path / "ticket.json"
    path.write_text(json.dumps(TICKET), encoding="utf-8")
    return path


def test_the_file_is_checked_and_its_sources_listed(check):
    printed = check()
    assert "privacy-issues" in printed
    assert "data/digits" in printed
    assert "policy.toml is valid" in printed


def test_secrets_that_are_missing_are_marked(check, monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    missing = "MISSING source privacy-issues: env:GITHUB_TOKEN is not set"
    assert missing in check()
    monkeypatch.setenv("GITHUB_TOKEN", "0123456789abcdef")
    printed = check()
    assert missing not in printed
    assert "0123456789abcdef" not in printed


def test_the_list_is_there_as_json(check):
    found = json.loads(check("--json"))
    assert found["exists"] is True
    assert found["policy"].startswith("2026-11@sha256:")
    assert [line["name"] for line in found["sources"]][-1] == "cli"
    assert any("env:NOTIFY_SECRET" in problem for problem in found["problems"])


def test_without_a_file_only_the_operator_can_file(check, tmp_path):
    (tmp_path / "policy.toml").unlink()
    found = json.loads(check("--json"))
    assert found["exists"] is False
    assert [line["name"] for line in found["sources"]] == ["cli"]


def test_a_ticket_is_explained_without_an_id_in_it(check, ticket):
    printed = check(str(ticket), "--source", "privacy-issues")
    assert "It would lead to: approved" in printed
    assert "2 found" in printed
    assert CANARY not in printed
    found = json.loads(check(str(ticket), "--source", "privacy-issues", "--json"))
    assert found["leads_to"] == "approved"
    assert CANARY not in json.dumps(found)


def test_a_ticket_of_jira_is_read_as_its_adapter_reads_it(check, tmp_path):
    path = tmp_path / "ticket.json"
    fields = {"labels": ["data-deletion"], "customfield_10042": [{"value": "p-1"}]}
    event = {"webhookEvent": "jira:issue_created", "issue": {"key": "PRIV-7", "fields": fields}}
    path.write_text(json.dumps(event))
    found = json.loads(check(str(path), "--source", "privacy-desk", "--json"))
    assert found["leads_to"] == "awaiting_approval"
    assert "1 found" in {step["finding"] for step in found["steps"]}


def test_the_source_is_asked_for_where_there_are_several(check, ticket):
    with pytest.raises(PolicyError, match="--source") as caught:
        check(str(ticket))
    assert "privacy-desk" in str(caught.value)


def test_the_only_source_needs_no_name(check, ticket, tmp_path):
    (tmp_path / "policy.toml").write_text(
        'version = "1"\n[sources.hub]\nkind = "github"\nmodels = ["*"]\ndatasets = ["*"]\n'
    )
    assert json.loads(check(str(ticket), "--json"))["source"] == "hub"


def test_another_file_can_be_checked_before_it_is_put_into_force(check, tmp_path):
    (tmp_path / "next.toml").write_text('version = "next"\n')
    assert json.loads(check("--file", "next.toml", "--json"))["policy"].startswith("next@sha256:")


@pytest.mark.parametrize(
    ("words", "content", "kind", "said"),
    [
        (["--file", "gone.toml"], "{}", PolicyError, "There is no policy"),
        (["--file", "ticket.json"], "{}", PolicyError, "is wrong"),
        (["gone.json", "--source", "portal"], "{}", DataError, "cannot be read"),
        (["ticket.json", "--source", "gone"], "{}", PolicyError, "no such source"),
        (["ticket.json", "--source", "portal"], "{", LetheError, "not JSON"),
        (["ticket.json", "--source", "privacy-issues"], "{}", LetheError, "lacks action"),
    ],
)
def test_mistakes_are_told_as_everywhere(check, tmp_path, words, content, kind, said):
    (tmp_path / "ticket.json").write_text(content)
    with pytest.raises(kind, match=said) as caught:
        check(*words)
    assert caught.value.exit_code in {2, 4, 8}

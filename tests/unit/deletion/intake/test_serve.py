import re
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from intake_client import bearer
from prometheus_client.parser import text_string_to_metric_families

from lethe.deletion.intake.health import metrics_are_open
from lethe.deletion.intake.serve import introduction, serve
from lethe.deletion.policy.load import load_policy
from lethe.deletion.tickets.errors import Flaw
from lethe.errors import PolicyError, SettingsError

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "intake.md"
CODE = ROOT / "lethe" / "deletion" / "intake"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_it_says_what_it_serves_and_which_secrets_are_not_set(settings, monkeypatch):
    monkeypatch.delenv("TEST_CLERK")
    lines = introduction(load_policy(settings.policy_file, settings), ("::1", 8020, 0, 0), NOW)
    text = "\n".join(lines)
    assert "http://[::1]:8020" in text
    assert "POST /webhooks/issues (github)" in text
    assert "POST /api/v1/requests, token of portal (plain)" in text
    warnings = [line for line in lines if "WARNING" in line]
    assert len(warnings) == 2
    assert "source unset" in warnings[0]
    assert "TEST_NOT_SET" in warnings[0]
    assert "token clerk" in warnings[1]


def test_it_does_not_start_with_a_wrong_policy_and_opens_nothing(settings):
    settings.policy_file.write_text("version = 1", encoding="utf-8")
    with pytest.raises(PolicyError):
        serve(settings)
    assert not settings.state.exists()


def test_it_does_not_start_where_it_cannot_listen(settings):
    taken = settings.intake.model_copy(update={"host": "192.0.2.1", "port": 8020})
    with pytest.raises(SettingsError, match="lethe intake --port"):
        serve(settings.model_copy(update={"intake": taken}))


class ToldError(Exception):
    pass


def test_one_can_connect_as_soon_as_it_has_told_its_address(settings):
    def tell(line):
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)", line)[1])
        socket.create_connection(("127.0.0.1", port)).close()
        raise ToldError

    listening = settings.intake.model_copy(update={"host": "127.0.0.1", "port": 0})
    with pytest.raises(ToldError):
        serve(settings.model_copy(update={"intake": listening}), tell=tell)


def test_it_does_not_start_with_a_certificate_that_cannot_be_used(settings, tmp_path):
    def listening(**changes):
        return settings.model_copy(update={"intake": settings.intake.model_copy(update=changes)})

    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(SettingsError, match="one is set without the other"):
        serve(listening(tls_certificate=empty))
    with pytest.raises(SettingsError, match="one is set without the other"):
        serve(listening(tls_key=empty))
    with pytest.raises(SettingsError, match="cannot be used"):
        serve(listening(tls_certificate=empty, tls_key=empty))
    with pytest.raises(SettingsError, match="No such file"):
        serve(listening(tls_certificate=tmp_path / "nowhere", tls_key=empty))
    assert not settings.state.exists()


@pytest.mark.parametrize(
    ("host", "is_open"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("h", False)],  # noqa: S104
)
def test_figures_are_open_on_the_loopback_address_alone(settings, host, is_open):
    intake = settings.intake.model_copy(update={"host": host})
    assert metrics_are_open(settings.model_copy(update={"intake": intake})) is is_open


def table(heading):
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def test_every_code_of_an_error_is_explained():
    written = {
        word for row in table("Errors") for word in re.findall(r"`(\w+)`", row.split("|")[2])
    }
    found = {str(flaw) for flaw in Flaw}
    for file in CODE.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        found |= set(re.findall(r'(?:ProblemError|refused)\(\s*\d+,\s*"(\w+)"', text))
        found |= set(re.findall(r'\d{3}: \("(\w+)", "', text))
    assert {"not_authentic", "invalid", "incident", "too_late"} <= found
    assert found - {"refused", "page"} <= written
    assert written - found <= {"ledger_unavailable"}


def test_every_figure_is_explained_and_nothing_else(client):
    text = client.get("/metrics", headers=bearer("dpo")).text
    names = {family.name for family in text_string_to_metric_families(text)}
    ours = {n for n in names if n.startswith("lethe_") and not n.endswith("_created")}
    written = {name for row in table("Figures") for name in re.findall(r"`(lethe_\w+)`", row)}
    assert {name.removesuffix("_total") for name in written} == ours


def test_every_address_is_listed(client):
    text = "\n".join(table("Addresses"))
    listed = set(re.findall(r"`([A-Z]+ /[^`]*)`", text))
    paths = client.get("/openapi.json").json()["paths"]
    served = {
        f"{method.upper()} {path.replace('subject_request_id', 'id').replace('request_id', 'id')}"
        for path, methods in paths.items()
        for method in methods
    }
    hidden = {"GET /", "GET /requests/{id}", "GET /openapi.json"}
    assert served - listed == {"GET /opendsr/{source}/status/{id}"}
    assert listed - served == hidden


def test_a_browser_gives_the_token_as_password(client):
    assert client.get("/", auth=("anybody", "token-of-the-dpo-long-enough")).status_code == 200
    assert client.get("/", headers=bearer("dpo")).status_code == 200
    for header in ("Basic", "Basic !", "Basic YTpi", "Digest x"):
        answer = client.get("/", headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")

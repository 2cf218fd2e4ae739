"""What the stack writes before anything runs: passwords once, configuration without any of them."""

import pytest

from infra.stack import manager
from infra.stack.config import StackSettings
from infra.stack.errors import StackError
from infra.stack.prepare import write_client_file, write_files
from infra.stack.programs import environment_of, programs
from infra.stack.secrets import credentials_file, ensure_credentials
from lethe.deletion.policy.load import load_policy
from lethe.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(manager, "LONGEST_SOCKET", 1000)  # pytest's folders are deep
    made = StackSettings(home=tmp_path / "stack", notify_url="https://hooks.example.org/canary")
    made.home.mkdir()
    return made


def test_passwords_are_made_once_and_a_missing_one_is_made_anew(settings):
    first = ensure_credentials(settings)
    assert ensure_credentials(settings) == first
    assert len(set(first.values())) == len(first)
    assert min(map(len, first.values())) == 32
    file = credentials_file(settings)
    kept = [line for line in file.read_text().splitlines() if not line.startswith("PREFECT_")]
    file.write_text("\n".join(kept) + "\n")
    second = ensure_credentials(settings)
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"PREFECT_PASSWORD"}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_program_gets_its_own_secrets_and_no_others(settings, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-person-who-starts-it")
    monkeypatch.setenv("GITHUB_TOKEN", "of-the-person-who-starts-it")
    monkeypatch.setenv("LETHE_SEED", "7")
    credentials = ensure_credentials(settings)
    got = {
        one.name: {
            name
            for name, secret in credentials.items()
            if any(secret in value for value in environment_of(settings, one).values())
        }
        for one in programs(settings)
    }
    assert got["postgres"] == set()
    assert got["s3"] == {"S3_LETHE_KEY", "S3_LETHE_SECRET", "S3_MLFLOW_KEY", "S3_MLFLOW_SECRET"}
    assert got["prefect"] == {"PREFECT_PASSWORD"}
    assert "MLFLOW_ADMIN_PASSWORD" not in got["worker-gpu"] | got["worker-cpu"] | got["intake"]
    assert not any("S3_MLFLOW_SECRET" in got[name] for name in ("intake", "worker-gpu"))
    for one in programs(settings):
        made = environment_of(settings, one)
        assert "of-the-person-who-starts-it" not in made.values()
        assert "LETHE_SEED" not in made
        assert not any(secret in word for word in one.command for secret in credentials.values())


def test_the_configuration_of_the_process_manager_holds_no_secret(settings):
    credentials = ensure_credentials(settings)
    write_files(settings)
    text = manager.write_configuration(settings).read_text()
    assert text.count("[program:") == 7
    assert "canary" not in text
    assert not any(secret in text for secret in credentials.values())


def test_a_folder_too_deep_for_a_socket_is_refused(settings, monkeypatch):
    monkeypatch.setattr(manager, "LONGEST_SOCKET", 20)
    write_files(settings)
    with pytest.raises(StackError, match="too long for a socket"):
        manager.write_configuration(settings)


def test_the_sample_policy_is_right_and_stays_when_it_was_edited(settings):
    ensure_credentials(settings)
    write_files(settings)
    sample = settings.home / "policy.toml"
    policy = load_policy(sample, Settings(home=settings.home))
    assert policy.sources["tickets"].kind == "github"
    sample.write_text("version = 'mine'\n")
    write_files(settings)
    assert sample.read_text() == "version = 'mine'\n"


def test_clients_get_what_stands_in_clients_env(settings):
    credentials = ensure_credentials(settings)
    (settings.home / "clients.env").write_text("# TLS\nAWS_CA_BUNDLE=/etc/ca.pem\n\n")
    write_client_file(settings, credentials)
    assert "export AWS_CA_BUNDLE='/etc/ca.pem'" in (settings.secrets / "client.sh").read_text()
    worker = next(one for one in programs(settings) if one.name == "worker-gpu")
    assert environment_of(settings, worker)["AWS_CA_BUNDLE"] == "/etc/ca.pem"

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from lethe.deletion.tickets.errors import NotAuthenticError, SecretError
from lethe.deletion.tickets.secrets import problems, read_secret, resolve_secrets

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LONG = "s" * 32


@dataclass(frozen=True)
class Ref:
    ref: str
    not_before: datetime | None = None
    not_after: datetime | None = None


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(LONG + "\n")
    path.chmod(0o600)
    return path


def test_a_variable_and_a_file_are_read(monkeypatch, file):
    monkeypatch.setenv("ONE", "e" * 20)
    assert resolve_secrets([Ref("env:ONE"), Ref(f"file:{file}")], NOW) == (
        b"e" * 20,
        LONG.encode(),
    )


@pytest.mark.parametrize(
    ("written", "read"), [("a\n", b"a"), ("a\r\n", b"a"), ("a\n\n", b"a\n"), (" a", b" a")]
)
def test_one_newline_at_the_end_is_not_part_of_it(tmp_path, written, read):
    path = tmp_path / "secret"
    path.write_bytes(written.encode())
    path.chmod(0o600)
    assert read_secret(f"file:{path}") == read


def test_bytes_that_are_no_text_are_kept(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.write_bytes(bytes(range(128, 160)))
    path.chmod(0o600)
    assert read_secret(f"file:{path}") == bytes(range(128, 160))
    monkeypatch.setitem(os.environb, b"RAW", b"\xff\xfe")
    assert read_secret("env:RAW") == b"\xff\xfe"


def test_a_new_file_counts_at_once(file):
    assert read_secret(f"file:{file}") == LONG.encode()
    file.write_text("n" * 32)
    assert read_secret(f"file:{file}") == b"n" * 32


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_a_file_that_everybody_may_read_is_refused(file, mode):
    file.chmod(mode)
    with pytest.raises(SecretError, match="chmod o-rw"):
        read_secret(f"file:{file}")


def test_a_file_that_its_group_may_read_is_not(file):
    file.chmod(0o640)
    assert read_secret(f"file:{file}") == LONG.encode()


def test_a_folder_is_no_secret(tmp_path):
    tmp_path.chmod(0o700)
    with pytest.raises(SecretError, match="IsADirectoryError"):
        read_secret(f"file:{tmp_path}")


@pytest.mark.parametrize(
    ("window", "valid"),
    [
        ({}, True),
        ({"not_before": NOW}, True),
        ({"not_before": NOW + timedelta(seconds=1)}, False),
        ({"not_after": NOW}, False),
        ({"not_after": NOW + timedelta(seconds=1)}, True),
    ],
)
def test_a_secret_counts_from_when_until_when_the_policy_says(file, window, valid):
    references = [Ref(f"file:{file}", **window)]
    if valid:
        assert resolve_secrets(references, NOW)
    else:
        with pytest.raises(NotAuthenticError) as caught:
            resolve_secrets(references, NOW)
        assert caught.value.reason == "no_secret_configured"


@pytest.mark.parametrize("value", [None, ""])
def test_no_secret_is_no_authenticity(monkeypatch, value, tmp_path):
    if value is not None:
        monkeypatch.setenv("EMPTY", value)
    (tmp_path / "empty").touch(mode=0o600)
    for references in ([], [Ref("env:EMPTY")], [Ref(f"file:{tmp_path / 'empty'}")]):
        with pytest.raises(NotAuthenticError) as caught:
            resolve_secrets(references, NOW)
        assert caught.value.reason == "no_secret_configured"


def test_what_is_missing_does_not_stop_what_is_there(file):
    references = [Ref("env:NOT_SET_ANYWHERE"), Ref("file:/not/there"), Ref(f"file:{file}")]
    assert resolve_secrets(references, NOW) == (LONG.encode(),)


def test_a_short_secret_is_a_misconfiguration_and_is_not_shown(monkeypatch):
    monkeypatch.setenv("SHORT", "hunter2hunter2!")
    with pytest.raises(SecretError, match="fewer than 16") as caught:
        resolve_secrets([Ref("env:SHORT")], NOW)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("ref", ["hunter2hunter2hunter2", "vault:x", "env:", "file:", ""])
def test_what_is_no_reference_is_refused_and_not_shown(ref):
    with pytest.raises(SecretError) as caught:
        read_secret(ref)
    assert "hunter2" not in str(caught.value)


def test_a_check_of_the_policy_says_what_is_wrong(file, monkeypatch):
    assert problems([Ref(f"file:{file}")], NOW) == []
    assert problems([Ref("env:NOT_SET_ANYWHERE")], NOW) == ["env:NOT_SET_ANYWHERE is not set"]
    assert problems([Ref(f"file:{file}", not_after=NOW)], NOW) == ["no secret is valid now"]
    file.chmod(0o644)
    assert "everybody" in problems([Ref(f"file:{file}")], NOW)[0]

from datetime import UTC, datetime

import pytest

from lethe.deletion.answers.credentials import answer_of, header_text, mark, secret
from lethe.deletion.answers.errors import SendError
from lethe.deletion.policy.model import SecretRef

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_the_mark_depends_on_the_key_and_on_the_letter():
    marks = {mark(b"k", "a"), mark(b"k", "b"), mark(b"l", "a")}
    assert len(marks) == 3
    assert mark(b"k", "a") == mark(b"k", "a")


def test_a_secret_that_is_not_there_may_come(monkeypatch):
    monkeypatch.delenv("T_TOKEN", raising=False)
    reference = SecretRef.model_validate("env:T_TOKEN")
    with pytest.raises(SendError) as caught:
        secret(reference, NOW)
    assert not caught.value.permanent
    assert caught.value.retry_after is not None
    monkeypatch.setenv("T_TOKEN", "now it is")
    assert secret(reference, NOW) == b"now it is"


def test_a_secret_outside_of_its_time_is_none(monkeypatch):
    monkeypatch.setenv("T_TOKEN", "token")
    with pytest.raises(SendError):
        secret(SecretRef(ref="env:T_TOKEN", not_after=NOW), NOW)


def test_a_file_that_everybody_may_read_is_no_secret_and_its_path_is_not_told(tmp_path):
    path = tmp_path / "token"
    path.write_text("token")
    path.chmod(0o644)
    with pytest.raises(SendError) as caught:
        secret(SecretRef.model_validate(f"file:{path}"), NOW)
    assert str(path) not in str(caught.value)


@pytest.mark.parametrize("value", [b"a\r\nX-Evil: 1", b"a b", "\u00e4".encode(), b"a\x00"])
def test_what_breaks_a_header_is_refused(value):
    with pytest.raises(SendError):
        header_text(value)


def test_a_source_that_left_the_policy_may_come_back(policy):
    with pytest.raises(SendError) as caught:
        answer_of(policy, "removed")
    assert not caught.value.permanent

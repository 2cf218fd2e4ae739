"""Filing and reading requests."""

import stat

import pytest
from pydantic import ValidationError

from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import (
    DeletionRequest,
    file_request,
    new_request,
    read_request,
)
from lethe.errors import DataError


def a_request(**changes):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=("3",)))
    return DeletionRequest(**{"model": "digits@champion", "forget": spec, **changes})


def test_a_filed_request_comes_back_whole(tmp_path):
    filed = file_request(tmp_path, a_request(ticket="DSR-17", ground="GDPR Art. 17(1)(b)"))
    assert read_request(tmp_path, filed.id) == filed


def test_only_its_owner_can_read_a_request(tmp_path):
    filed = file_request(tmp_path, a_request())
    assert stat.S_IMODE((tmp_path / "requests").stat().st_mode) == 0o700
    (file,) = (tmp_path / "requests").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stem == filed.id


def test_filing_the_same_again_keeps_the_first(tmp_path):
    first = file_request(tmp_path, a_request(id="one"))
    again = file_request(tmp_path, a_request(id="one"))
    assert again == first


def test_another_request_under_the_same_id_is_refused_and_the_first_stays(tmp_path):
    first = file_request(tmp_path, a_request(id="one"))
    with pytest.raises(DataError, match="left unchanged"):
        file_request(tmp_path, a_request(id="one", model="other@champion"))
    assert read_request(tmp_path, "one") == first


def test_missing_and_damaged_requests_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="no deletion request"):
        read_request(tmp_path, "absent")
    filed = file_request(tmp_path, a_request())
    (tmp_path / "requests" / f"{filed.id}.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        read_request(tmp_path, filed.id)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../escape"},
        {"id": ""},
        {"ground": "asked by anna@example.org"},
        {"ticket": "see the mail\nfrom Anna"},
        {"model": ""},
    ],
)
def test_what_must_not_be_in_a_record_is_refused_when_filing(changes):
    with pytest.raises(ValidationError):
        a_request(**changes)


def test_an_id_that_leaves_the_folder_is_never_read(tmp_path):
    (tmp_path / "requests").mkdir()
    (tmp_path / "secret.json").write_text(a_request(id="secret").model_dump_json())
    with pytest.raises(DataError, match="no deletion request"):
        read_request(tmp_path, "../secret")


def test_a_wrong_field_is_named_but_its_value_is_not_repeated():
    with pytest.raises(DataError, match="ground") as refused:
        new_request(model="digits@champion", forget=a_request().forget, ground="anna@example.org")
    assert "anna" not in str(refused.value)
    assert refused.value.__cause__ is None

"""What a request may hold."""

import pytest
from pydantic import ValidationError

from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest, new_request
from lethe.errors import DataError


def a_request(**changes):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=("3",)))
    return DeletionRequest(**{"model": "digits@champion", "forget": spec, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../escape"},
        {"id": ""},
        {"ground": "asked by anna@example.org"},
        {"ticket": "see the mail\nfrom Anna"},
        {"model": ""},
        {"model": "digits"},
        {"model": "two words@champion"},
        {"source": "Two Words"},
    ],
)
def test_what_must_not_be_in_a_record_is_refused(changes):
    with pytest.raises(ValidationError):
        a_request(**changes)


def test_a_wrong_field_is_named_but_its_value_is_not_repeated():
    with pytest.raises(DataError, match="ground") as refused:
        new_request(model="digits@champion", forget=a_request().forget, ground="anna@example.org")
    assert "anna" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_request_survives_json_whole():
    request = a_request(ticket="DSR-17", ground="GDPR Art. 17(1)(b)", source="privacy-issues")
    assert DeletionRequest.model_validate_json(request.model_dump_json()) == request

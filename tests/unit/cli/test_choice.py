"""What `lethe unlearn` prints of the ladder afterwards."""

import pytest

from cli.summary import print_choice
from lethe.audit.predicate import Choice

PTE = {"method": "pte", "because": "it costs least", "outcome": "accepted", "run_id": "one"}
SEARCH = {
    "budget": 3,
    "trials": (
        {"settings": {}, "forgotten": 1.0, "drift": 0.25, "score": 0.2},
        {"settings": {"epochs": 9}, "forgotten": 1.0, "drift": 0.125, "score": 0.111},
    ),
    "best": 1,
    "seconds": 1.5,
}


def printed(capsys, **changes):
    known = {"facts": {}, "rungs": (PTE,), "at": 0}
    print_choice(Choice.model_validate(known | changes))
    return " ".join(capsys.readouterr().out.split())


def test_every_step_is_printed_with_its_reason_and_its_end(capsys):
    refused = PTE | {"method": "delete", "outcome": "refused", "said": "[b]Too much[/b] was lost."}
    last = {"method": "retrain", "because": "it is last", "outcome": "not_tried"}
    left = {"method": "ssd", "because": "there is no card"}
    text = printed(capsys, rungs=(refused, PTE, last), at=1, left_out=(left,))
    assert "delete" in text
    assert "[b]Too much[/b] was" in text  # no markup
    assert "accepted" in text
    assert "not tried" in text
    assert "Left out: ssd, since there is no card" in text


def test_the_settings_that_a_search_took_are_printed(capsys):
    assert "taken: epochs = 9" in printed(capsys, search=SEARCH)
    assert "taken: its own" in printed(capsys, search=SEARCH | {"best": 0})


@pytest.mark.parametrize(
    "choice", [None, Choice.model_validate({"facts": {}, "rungs": (PTE,), "at": 0})]
)
def test_one_method_that_was_named_needs_no_table(capsys, choice):
    print_choice(choice)
    assert capsys.readouterr().out == ""

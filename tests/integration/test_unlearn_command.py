"""`lethe unlearn` with bad input, and the same command again."""

import json

import pytest

from lethe.settings import load_settings
from tasks.desk import open_desk

MODEL = ("digits@champion", "--dataset", "data/digits", "--classes")


@pytest.fixture
def unlearn(project, lethe):
    """Run `lethe unlearn` in the project."""
    return lambda *words: lethe("unlearn", *words)


def filed():
    with open_desk(load_settings()) as desk:
        return desk.ledger.find()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((*MODEL, "3,eleven"), 4),
        (("nobody@champion", *MODEL[1:], "3"), 5),
        ((*MODEL, "3", "--method", "wishing"), 6),
        ((*MODEL, "3", "--option", "wishes=3"), 6),
    ],
)
def test_bad_input_is_told_and_nothing_is_registered(unlearn, words, code):
    found, out, err = unlearn(*words)
    assert (found, out) == (code, "")
    assert "Nothing was" in err or "nothing was" in err
    if code == 6:
        assert filed() == []


def test_the_same_command_again_goes_on_with_what_it_began(unlearn):
    first = json.loads(unlearn(*MODEL, "3", "--no-promote", "--json")[1])
    assert (first["successor"], first["alias"]) == ("digits/2", "candidate")
    code, out, err = unlearn(*MODEL, "3", "--promote", "--json")
    assert code == 0
    again = json.loads(out)
    assert again["request_id"] == first["request_id"]
    assert (again["successor"], again["alias"]) == ("digits/2", "champion")
    assert "taken up" in err
    assert sorted(str(entry.state) for entry in filed()) == ["completed", "duplicate"]


def test_other_settings_for_what_is_not_at_its_end_are_not_dropped_silently(unlearn):
    unlearn(*MODEL, "3", "--no-promote")
    code, out, err = unlearn(*MODEL, "3", "--option", "epochs=2")
    assert (code, out) == (8, "")
    assert "duplicate" in err

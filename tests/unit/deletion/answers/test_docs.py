import json
import re
from pathlib import Path

import pytest

from lethe.deletion.answers import compose, deliver, http
from lethe.deletion.ledger.types import Move
from lethe.deletion.states import ANSWERED, State

PAGE = (Path(__file__).parents[4] / "docs" / "answers.md").read_text(encoding="utf-8")


def test_the_example_of_a_webhook_has_the_fields_that_are_sent(entry, settings):
    moved = Move(entry().updated_at, "worker", State.PROMOTED, State.COMPLETED)
    told = compose.notification(entry(state=State.COMPLETED), moved, settings)
    example = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    assert example.keys() == told.keys()
    assert list(example["data"]) == list(told["data"])


@pytest.mark.parametrize("state", sorted(ANSWERED))
def test_every_end_is_on_the_page(state):
    assert f"`{state}`" in PAGE


def test_the_numbers_of_the_page_are_those_of_the_code():
    text = " ".join(PAGE.split())
    assert f"After {deliver.TRIES} tries" in text
    assert f"after {http.PATIENCE.call:.0f} seconds, all calls" in text
    assert f"of a letter after {http.PATIENCE.letter:.0f}" in text
    assert deliver.LEASE.total_seconds() == 600
    assert "taken up after ten minutes" in text

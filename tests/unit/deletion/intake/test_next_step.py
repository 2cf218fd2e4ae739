"""What is said of a request while something that it needs is away, and afterwards."""

from datetime import UTC, datetime

import pytest

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.intake.next_step import next_step
from lethe.deletion.ledger.types import Entry, Move
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def begun(*reasons, state=State.IN_PROGRESS):
    request = DeletionRequest(
        model="digits@champion",
        forget=ForgetSpec(dataset="data/digits", selection=Selection(classes=("3",))),
        received_at=NOW,
    )
    lines = tuple(Move(NOW, "worker-1", state, state, reason) for reason in reasons)
    return Entry(request, state, None, NOW, history=lines)


@pytest.mark.parametrize("state", [State.APPROVED, State.IN_PROGRESS])
def test_while_it_waits_the_command_that_goes_on_is_named(state):
    step = next_step(begun("It waits: MLflow answered 500", state=state), [])
    assert step.commands == ("lethe requests process",)
    assert "history's last line" in step.text


def test_otherwise_nothing_is_to_be_done():
    for entry in (begun(), begun(None), begun("It waits: MLflow answered 500", "Taken up")):
        step = next_step(entry, [])
        assert (step.commands, step.text[:10]) == ((), "Nothing is")

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.states import ANSWERED, ENDED, MOVES, OPEN, State, check_move
from lethe.errors import RequestError

LAST = {State.REJECTED, State.COMPLETED, State.PARTIAL, State.CANCELLED}


def reachable(start):
    found, new = set(), {start}
    while new:
        found |= new
        new = {after for state in new for after in MOVES[state]} - found
    return found


def test_every_state_has_its_line_in_the_table():
    assert set(MOVES) == set(State)


def test_every_state_can_be_reached_from_received():
    assert reachable(State.RECEIVED) == set(State)


@pytest.mark.parametrize("state", State)
def test_every_state_can_come_to_an_end(state):
    assert reachable(state) & LAST


@pytest.mark.parametrize("state", State)
def test_what_was_begun_cannot_be_cancelled(state):
    before = {
        State.RECEIVED,
        State.DUPLICATE,
        State.AWAITING_APPROVAL,
        State.APPROVED,
        State.HELD,
    }
    assert (State.CANCELLED in MOVES[state]) == (state in before)


def test_only_an_approved_request_is_carried_out():
    assert [s for s in State if State.IN_PROGRESS in MOVES[s]] == [State.APPROVED]


def test_nothing_leads_out_of_a_last_state():
    assert {state for state in State if not MOVES[state]} == LAST
    assert LAST < ENDED


def test_a_state_is_open_or_ended_or_a_duplicate():
    assert OPEN | ENDED | {State.DUPLICATE} == set(State)
    assert not OPEN & ENDED
    assert ANSWERED == ENDED


@given(st.sampled_from(State), st.sampled_from(State))
def test_a_move_is_refused_unless_the_table_has_it(now, then):
    if then in MOVES[now]:
        check_move("req-1", now, then)
        return
    with pytest.raises(RequestError, match="left unchanged") as refused:
        check_move("req-1", now, then)
    assert "lethe requests show req-1" in str(refused.value)
    for able in MOVES[now]:
        assert able in str(refused.value)

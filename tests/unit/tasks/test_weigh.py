"""What the counted rows of a request lead to."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lethe.data.attribution import Weight
from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.types import Entry
from lethe.deletion.policy.load import read_policy
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.settings import Settings
from tasks.weigh import judge_weight

POLICY = {
    "version": "test",
    "approval": {"approvers": ["dpo"], "needed": 1},
    "models": {
        "digits": {"approve_above": {"dataset": 0.1}, "refuse_above": {"dataset": 0.5}},
    },
    "sources": {"cli": {"kind": "cli", "models": ["*"], "datasets": ["*"]}},
}
FINE = {
    "rows": 3,
    "held_out": 0,
    "dataset_share": 0.01,
    "class_share": 0.02,
    "wanted": 3,
    "missing": 0,
    "unknown_classes": 0,
}


@pytest.fixture
def judged():
    policy = read_policy(POLICY, Path("policy.toml"), Settings())

    def judge(whole=False, approvals=(), **changes):
        selection = Selection(subjects=("canary-1", "canary-2", "canary-3"))
        forget = ForgetSpec(dataset="data/digits", selection=selection, whole=whole)
        entry = Entry(
            DeletionRequest(model="digits@champion", forget=forget),
            State.APPROVED,
            reason=None,
            updated_at=datetime.now(UTC),
            approvals=approvals,
        )
        return judge_weight(policy, entry, Weight(**{**FINE, **changes}))

    return judge


def test_a_share_within_the_limits_goes_on(judged):
    assert judged() is None


def test_some_ids_that_are_not_there_do_not_stop_the_rest(judged):
    assert judged(missing=2, rows=1) is None


def test_nothing_that_is_there_is_rejected_with_numbers_and_no_names(judged):
    judgement = judged(rows=0, missing=3)
    assert judgement.state is State.REJECTED
    assert "3 of 3 ids" in judgement.reason
    assert "canary" not in judgement.reason


def test_ids_of_the_held_out_rows_alone_are_nothing_to_forget(judged):
    judgement = judged(rows=0, held_out=3)
    assert judgement.state is State.REJECTED
    assert "No training row" in judgement.reason


@pytest.mark.parametrize("rows", [0, 3])
def test_an_unknown_class_is_rejected_even_beside_known_ones(judged, rows):
    judgement = judged(rows=rows, unknown_classes=1)
    assert judgement.state is State.REJECTED
    assert judgement.reason.startswith("1 of the classes")


def test_a_large_share_waits_for_a_person_and_a_larger_one_is_rejected(judged):
    assert judged(dataset_share=0.2).state is State.AWAITING_APPROVAL
    assert judged(dataset_share=0.2).approvals_needed == 1
    assert judged(dataset_share=0.2, approvals=("dpo",)) is None
    assert judged(dataset_share=0.6, approvals=("dpo",)).state is State.REJECTED


def test_a_data_set_made_to_be_forgotten_has_no_share_worth_judging(judged):
    assert judged(whole=True, dataset_share=1.0, class_share=1.0) is None
    assert judged(whole=True, dataset_share=1.0, rows=0).state is State.REJECTED

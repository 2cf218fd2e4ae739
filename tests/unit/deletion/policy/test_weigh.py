import math

import pytest

from lethe.deletion.ledger.types import Entry
from lethe.deletion.policy.judge import weigh
from lethe.deletion.states import State

POLICY = """
[approval]
approvers = ["dpo", "owner"]
needed = 2
[models.digits]
approve_above = { dataset = 0.05, class = 0.5 }
refuse_above = { dataset = 0.5 }
"""


@pytest.fixture
def entry_of(request_of, now):
    def make(*approvals, **fields):
        return Entry(
            request_of(**fields),
            State.APPROVED,
            reason=None,
            updated_at=now,
            due_at=now,
            at_once=True,
            approvals=approvals,
        )

    return make


@pytest.mark.parametrize(
    ("dataset", "of_class", "state"),
    [
        (0.05, 0.5, None),
        (0.0, 0.0, None),
        (0.051, 0.0, State.AWAITING_APPROVAL),
        (0.0, 0.51, State.AWAITING_APPROVAL),
        (0.5, 1.0, State.AWAITING_APPROVAL),
        (0.51, 0.0, State.REJECTED),
        (math.nan, 0.0, State.REJECTED),
        (0.0, math.nan, State.AWAITING_APPROVAL),
    ],
)
def test_shares_are_held_to_their_limits(policy_of, entry_of, now, dataset, of_class, state):
    policy = policy_of(POLICY)
    judgement = weigh(policy, entry_of(), dataset_share=dataset, class_share=of_class)
    assert (None if judgement is None else judgement.state) is state
    if judgement is not None:
        assert judgement.policy == policy.label
        assert judgement.due_at == now
        assert judgement.approvals_needed == (2 if state is State.AWAITING_APPROVAL else 0)


def test_without_limits_every_share_passes(policy_of, entry_of):
    assert weigh(policy_of(), entry_of(), dataset_share=1.0, class_share=1.0) is None


def test_what_persons_approved_is_not_put_before_them_again(policy_of, entry_of):
    policy, large = policy_of(POLICY), {"dataset_share": 0.4, "class_share": 1.0}
    assert weigh(policy, entry_of("dpo", "owner"), **large) is None
    one = weigh(policy, entry_of("dpo"), **large)
    assert one is not None
    assert one.state is State.AWAITING_APPROVAL


def test_approval_does_not_lift_what_is_refused(policy_of, entry_of):
    entry = entry_of("dpo", "owner")
    judgement = weigh(policy_of(POLICY), entry, dataset_share=0.6, class_share=0.0)
    assert judgement is not None
    assert judgement.state is State.REJECTED
    assert "the data set" in judgement.reason


def test_an_operator_needs_no_approval_and_can_still_be_refused(policy_of, entry_of):
    policy, entry = policy_of(POLICY), entry_of(source="cli")
    assert weigh(policy, entry, dataset_share=0.4, class_share=1.0) is None
    refused = weigh(policy, entry, dataset_share=0.6, class_share=1.0)
    assert refused is not None
    assert refused.state is State.REJECTED

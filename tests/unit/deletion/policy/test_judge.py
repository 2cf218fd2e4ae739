from datetime import timedelta

import pytest

from lethe.deletion.policy.allow import WITHHELD_MODEL
from lethe.deletion.policy.deadlines import CCPA, GDPR, due_at, extendable_to
from lethe.deletion.policy.errors import UnknownSourceError
from lethe.deletion.policy.judge import judge
from lethe.deletion.states import MOVES, State

APPROVERS = '[approval]\napprovers = ["dpo", "owner"]\nneeded = 2\n'
HOLD = '[[holds]]\nreason = "Litigation 2026-4"\n'


def test_what_is_allowed_is_approved(policy_of, request_of, now):
    policy = policy_of("[models.digits]\nat_once = true")
    request = request_of()
    judgement = judge(policy, request, now=now)
    assert judgement.state is State.APPROVED
    assert judgement.policy == policy.label
    assert judgement.approvals_needed == 0
    assert judgement.at_once
    assert judgement.due_at == due_at(now, GDPR)
    assert judgement.extendable_to == extendable_to(now, GDPR)


def test_the_deadline_follows_the_regulation(policy_of, request_of, now):
    policy = policy_of("[regulations.lgpd]\ndays = 15")
    assert judge(policy, request_of(regulation="ccpa"), now=now).due_at == due_at(now, CCPA)
    own = judge(policy, request_of(regulation="lgpd"), now=now)
    assert own.due_at == own.extendable_to == now + timedelta(days=15)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model": "digits/3"}, "may not name this model"),
        ({"model": "other@champion"}, "may not name this model"),
        ({"model": "DIGITS@champion"}, "may not name this model"),
        ({"dataset": "secret/digits"}, "may not name this data set"),
        ({"dataset": "data/../secret"}, "may not name this data set"),
        ({"evaluation": "secret/shard"}, "may not name this data set to measure on"),
        ({"whole": True}, "may not select by a whole data set"),
        ({"regulation": "lgpd"}, "regulation is not in the policy"),
    ],
)
def test_what_a_source_may_not_ask_for_is_rejected(policy_of, request_of, now, fields, reason):
    judgement = judge(policy_of(), request_of(**fields), now=now)
    assert judgement.state is State.REJECTED
    assert reason in judgement.reason
    assert judgement.due_at is not None
    assert not any(str(v) in judgement.reason for v in fields.values() if isinstance(v, str))


def test_what_stands_for_a_name_that_was_not_allowed_is_allowed_by_no_pattern(
    policy_of, request_of, now
):
    policy = policy_of('[sources.own]\nkind = "plain"\nmodels = ["w*@*"]\ndatasets = ["*"]')
    withheld = request_of(source="own", model=WITHHELD_MODEL)
    assert judge(policy, withheld, now=now).state is State.REJECTED
    other = request_of(source="own", model="watch@champion")
    assert judge(policy, other, now=now).state is State.APPROVED


def test_a_source_selects_only_by_what_it_may(policy_of, request_of, now):
    policy = policy_of(
        '[sources.own]\nkind = "plain"\nmodels = ["*"]\ndatasets = ["*"]\nselections = ["subjects"]'
    )
    allowed = request_of(source="own", subjects=("p",))
    both = request_of(source="own", subjects=("p",), classes=("3",))
    assert judge(policy, allowed, now=now).state is State.APPROVED
    judgement = judge(policy, both, now=now)
    assert judgement.state is State.REJECTED
    assert judgement.reason == "source own may not select by classes"


def test_a_request_names_no_more_ids_than_its_model_allows(policy_of, request_of, now):
    policy = policy_of("[models.digits]\nmax_ids = 3")
    three = request_of(classes=("3",), samples=("a", "b"))
    four = request_of(classes=("3",), samples=("a", "b", "c"))
    assert judge(policy, three, now=now).state is State.APPROVED
    judgement = judge(policy, four, now=now)
    assert judgement.state is State.REJECTED
    assert "more than 3" in judgement.reason


def test_a_source_of_the_policy_may_name_nothing_unless_told(policy_of, request_of, now):
    policy = policy_of('[sources.own]\nkind = "plain"')
    assert judge(policy, request_of(source="own"), now=now).state is State.REJECTED


@pytest.mark.parametrize("model", ["watch@champion", "watch@live", "watch/3"])
@pytest.mark.parametrize("pattern", ["watch@*", "watch@champion", "watch/3", "w*"])
def test_a_hold_on_a_model_is_not_got_round_by_another_name(
    policy_of, request_of, now, model, pattern
):
    policy = policy_of(f'{HOLD}models = ["{pattern}"]')
    request = request_of(model=model, source="cli")
    judgement = judge(policy, request, now=now)
    assert judgement.state is State.HELD
    assert judgement.reason == "legal hold: Litigation 2026-4"
    assert judge(policy, request, now=now, holds=False).state is State.APPROVED


@pytest.mark.parametrize(
    ("conditions", "held"),
    [
        ('models = ["watch@*"]', False),
        ('models = ["*"]', True),
        ('datasets = ["data/digits"]', True),
        ('datasets = ["data/watch"]', False),
        ('sources = ["portal"]', True),
        ('sources = ["cli"]', False),
        ('sources = ["portal"]\nmodels = ["watch@*"]', False),
        ('models = ["*"]\nuntil = 2026-11-21T08:30:00Z', False),
        ('models = ["*"]\nuntil = 2026-11-21T08:30:01Z', True),
    ],
)
def test_a_hold_needs_all_its_conditions(policy_of, request_of, now, conditions, held):
    judgement = judge(policy_of(HOLD + conditions), request_of(), now=now)
    assert judgement.state is (State.HELD if held else State.APPROVED)


@pytest.mark.parametrize(
    "rule", ["[models.digits]\napprove_always = true", '[models."*"]\napprove_always = true']
)
def test_a_model_can_want_each_request_approved(policy_of, request_of, now, rule):
    judgement = judge(policy_of(APPROVERS + rule), request_of(), now=now)
    assert judgement.state is State.AWAITING_APPROVAL
    assert judgement.approvals_needed == 2


def test_a_source_can_want_each_request_approved(policy_of, request_of, now):
    policy = policy_of(
        APPROVERS + '[sources.own]\nkind = "plain"\nmodels = ["*"]\ndatasets = ["*"]\n'
        "approve_always = true"
    )
    assert judge(policy, request_of(source="own"), now=now).state is State.AWAITING_APPROVAL
    assert judge(policy, request_of(), now=now).state is State.APPROVED


def test_an_operator_is_asked_for_nothing_unless_there_is_a_table_for_him(
    policy_of, request_of, now
):
    rule = APPROVERS + "[models.digits]\napprove_always = true\nmax_ids = 1\n"
    request = request_of(source="cli", samples=("a", "b"))
    assert judge(policy_of(rule), request, now=now).state is State.APPROVED
    table = '[sources.cli]\nkind = "cli"\nmodels = ["*"]\ndatasets = ["*"]\n'
    assert judge(policy_of(rule + table), request, now=now).state is State.REJECTED
    one = request_of(source="cli")
    assert judge(policy_of(rule + table), one, now=now).state is State.AWAITING_APPROVAL
    whole = request_of(source="cli", whole=True)
    assert judge(policy_of(rule), whole, now=now).state is State.APPROVED


def test_rejecting_goes_before_holding_and_holding_before_approval(policy_of, request_of, now):
    policy = policy_of(
        APPROVERS + "[models.digits]\napprove_always = true\n" + HOLD + 'models = ["*"]'
    )
    rejected = judge(policy, request_of(model="x@y"), now=now)
    assert rejected.state is State.REJECTED
    assert rejected.approvals_needed == 0
    held = judge(policy, request_of(), now=now)
    assert held.state is State.HELD
    assert held.approvals_needed == 2
    released = judge(policy, request_of(), now=now, holds=False)
    assert released.state is State.AWAITING_APPROVAL


def test_every_judgement_is_a_move_that_a_new_request_may_make():
    judged = {State.REJECTED, State.HELD, State.AWAITING_APPROVAL, State.APPROVED}
    assert judged <= MOVES[State.RECEIVED]


def test_a_source_that_is_gone_is_told(policy_of, request_of, now):
    with pytest.raises(UnknownSourceError):
        judge(policy_of(), request_of(source="gone"), now=now)

import pytest
from pydantic import ValidationError

from lethe.deletion.policy.judge import RETRAIN, Plan, Rung, plan
from lethe.errors import PolicyError
from lethe.settings import Settings

LADDER = """
[models.digits]
promote = false
complete_when = "registered"
ladder = [ {method = "pte"}, {method = "pte", options = {edited_share = 0.6}}, {retrain = true} ]
"""
OWN = {"options": {"steps": 7}}


def test_without_a_ladder_the_settings_method_is_tried_once(policy_of):
    way = plan(policy_of(), "digits@champion", Settings(unlearning=OWN))
    assert way == Plan(True, "promoted", (Rung("pte", {"steps": 7}),))


def test_a_ladder_is_tried_from_its_first_step(policy_of):
    way = plan(policy_of(LADDER), "digits/3", Settings(unlearning=OWN))
    assert way.promote is False
    assert way.complete_when == "registered"
    assert way.ladder == (
        Rung("pte", {"steps": 7}),
        Rung("pte", {"edited_share": 0.6}),
        Rung(RETRAIN, None, retrain=True),
    )


def test_another_method_than_the_settings_has_its_own_options(policy_of):
    settings = Settings(unlearning={"method": "other", **OWN})
    assert plan(policy_of(LADDER), "digits", settings).ladder[0] == Rung("pte", None)


def test_promotion_is_the_settings_choice_unless_the_policy_has_one(policy_of):
    settings = Settings(models={"promote": False})
    assert plan(policy_of(), "digits", settings).promote is False
    forced = policy_of("[models.digits]\npromote = true")
    assert plan(forced, "digits", settings).promote is True


def test_auto_may_stand_in_the_settings_or_in_a_ladder_and_each_step_says_who_named_it(policy_of):
    auto = Settings(unlearning={"method": "auto"})
    (own,) = plan(policy_of(), "digits", auto).ladder
    assert (own.method, own.because) == ("auto", "it is the method of the settings")
    rules = '[models.digits]\nladder = [{method = "auto"}, {retrain = true}]'
    first, last = plan(policy_of(rules), "digits", Settings()).ladder
    assert (first.method, first.options, last.method) == ("auto", None, RETRAIN)
    assert first.because == last.because == "it is a step of the policy's ladder"


def test_auto_has_no_options(policy_of):
    rules = '[models.digits]\nladder = [{method = "auto", options = {epochs = 3}}]'
    with pytest.raises(PolicyError, match=r"ladder\.0\.options: auto chooses methods"):
        policy_of(rules)
    with pytest.raises(ValidationError, match="options belong to one method"):
        Settings(unlearning={"method": "auto", "options": {"epochs": 3}})

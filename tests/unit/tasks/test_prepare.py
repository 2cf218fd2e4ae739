"""A method that learns from retained rows brings nothing back that was forgotten before."""

from types import SimpleNamespace

import pytest

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.types import Facts
from lethe.errors import MethodError, ModelError
from lethe.unlearning.fine_tune import FineTune
from lethe.unlearning.pte import PTE
from tasks.earlier import Earlier, Step
from tasks.prepare import check_way
from tasks.retraining import Retraining

NEEDING = pytest.mark.parametrize("method", [FineTune(), Retraining()], ids=lambda m: m.name)
THREE = Selection(classes=("3",))
FIVE = Selection(classes=("5",))


def parent(training="known"):
    return SimpleNamespace(ref="digits/2", facts=SimpleNamespace(training=training))


def forget(*, whole=False):
    spec = ForgetSpec(dataset="data/digits", selection=THREE, whole=whole)
    return SimpleNamespace(kind="class", spec=spec)


def before(selection=FIVE, dataset="data/digits", *, gone=False):
    repository = ForgetSpec(dataset="data/digits", selection=THREE).repository
    return Earlier((Step("digits/2", repository, dataset, selection, Facts(), gone),))


CANNOT_BE_LEFT_OUT = [before(dataset="data/others"), before(None), before(None, gone=True)]


@NEEDING
@pytest.mark.parametrize("earlier", CANNOT_BE_LEFT_OUT)
def test_what_cannot_be_left_out_of_the_retained_rows_refuses_the_method(method, earlier):
    with pytest.raises(MethodError, match=r"would be learned again\. Nothing was registered"):
        check_way(parent(), forget(), method, earlier)


@NEEDING
def test_a_data_set_made_to_be_forgotten_has_no_retained_rows(method):
    with pytest.raises(MethodError, match="learned again"):
        check_way(parent(), forget(whole=True), method, Earlier())


@NEEDING
@pytest.mark.parametrize("earlier", [Earlier(), before()])
def test_what_can_be_left_out_refuses_nothing(method, earlier):
    check_way(parent(), forget(), method, earlier)


@pytest.mark.parametrize("earlier", CANNOT_BE_LEFT_OUT)
def test_a_method_that_needs_forget_rows_alone_is_never_refused_for_it(earlier):
    check_way(parent(), forget(), PTE(), earlier)
    check_way(parent(), forget(whole=True), PTE(), earlier)


def test_the_refusal_says_what_the_method_would_have_done():
    earlier = before(None, gone=True)
    with pytest.raises(MethodError, match=r"digits/2 cannot be edited by 'fine_tune'"):
        check_way(parent(), forget(), FineTune(), earlier)
    with pytest.raises(MethodError, match=r"digits/2 cannot be retrained: what 1 of the"):
        check_way(parent(), forget(), Retraining(), earlier)


def test_only_retraining_needs_to_know_how_the_parent_was_trained():
    check_way(parent(training=None), forget(), FineTune(), Earlier())
    with pytest.raises(ModelError, match="training settings are not recorded"):
        check_way(parent(training=None), forget(), Retraining(), Earlier())

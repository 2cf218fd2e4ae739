"""PRUNE on a trained network: what is blocked, what it costs, what is refused."""

import copy

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.patching.network import Patched, base_of
from lethe.unlearning.method import Context, ForgetTarget, Instructions, load_method, method_names
from lethe.unlearning.prune import PRUNE
from lethe.unlearning.representatives import representatives

OTHERS = tuple(c for c in range(10) if c != 3)


def carry_out(model, forget, method=None):
    method = method or PRUNE()
    found = method.probe(model, forget, Context())
    return found, method.edit(model, forget, found, Context())


def class_three(digits):
    return ForgetTarget(digits.of_class(3), "class", (3,))


def test_it_is_installed_and_needs_forget_rows_alone():
    assert "prune" in method_names()
    assert load_method("prune") == PRUNE()
    assert PRUNE().needs == "forget_only"


def test_a_class_is_blocked_by_few_regions_and_nothing_else_is_answered_otherwise(digits):
    found, edit = carry_out(digits.model, class_three(digits))
    facts = found.facts
    assert facts["certified"] == facts["blocked"] == facts["rows"] == len(digits.of_class(3))
    assert 0 < facts["regions"] < facts["rows"] / 2
    assert digits.accuracy(edit.model, 3) < 0.1
    assert digits.accuracy(edit.model, *OTHERS) >= digits.accuracy(digits.model, *OTHERS)
    assert edit.curves["forget_accuracy"] == facts["rounds"]
    assert edit.curves["forget_accuracy"][0] > 0.9
    assert edit.curves["forget_accuracy"][-1] == 0
    rows = facts["rows"]
    assert edit.stopped == f"{rows} of {rows} rows are blocked, {rows} certified"


def test_the_network_below_is_the_parent_bit_for_bit(digits):
    original = copy.deepcopy(digits.model).train()
    original.conv2.weight.requires_grad_(requires_grad=False)
    weights = copy.deepcopy(original.state_dict())
    _, edit = carry_out(original, class_three(digits))
    assert original.training
    assert not any(module.training for module in edit.model.modules())
    assert not edit.model.base.conv2.weight.requires_grad
    for model in (original, base_of(edit.model)):
        state = model.state_dict()
        assert state.keys() == weights.keys()
        assert all(torch.equal(weights[name], tensor) for name, tensor in state.items())


def test_single_rows_are_blocked_and_their_neighbours_are_not(digits):
    rows = TensorRows(digits.rows.x[:40], digits.rows.y[:40])
    found, edit = carry_out(digits.model, ForgetTarget(rows, "samples"))
    assert found.facts["blocked"] == 40
    assert found.facts["certified"] >= 30
    with torch.no_grad():
        assert not (edit.model(rows.x).argmax(1) == rows.y).any()
        others = digits.rows.x[40:]
        assert torch.equal(edit.model(others), digits.model(others))


def test_rows_that_cannot_be_certified_are_reported_as_such(digits):
    """Rows within rounding of a facet, and rows beyond the last region there may be."""
    found, _ = carry_out(digits.model, class_three(digits), PRUNE(most_regions=1, width=0.001))
    facts = found.facts
    assert facts["regions"] == 1
    assert 0 < facts["certified"] < facts["rows"]
    assert facts["certified"] == int(found.tensors["certified"].sum())
    assert facts["blocked"] < facts["rows"]


def test_everywhere_needs_no_relu_head_and_forgets_classes_alone(digits):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = copy.deepcopy(digits.model)

        def forward(self, x):
            return 2 * self.inner(x)

    everywhere = PRUNE(reach="everywhere")
    found, edit = carry_out(Twice(), class_three(digits), everywhere)
    assert digits.accuracy(edit.model, 3) == 0
    assert found.facts["certified"] == found.facts["rows"]
    rows = TensorRows(digits.rows.x[:4], digits.rows.y[:4])
    with pytest.raises(MethodError, match="classes that are retained"):
        everywhere.probe(digits.model, ForgetTarget(rows, "samples"), Context())


def test_a_network_without_a_relu_head_is_refused_before_it_sees_the_rows(digits):
    class Counting(TensorRows):
        seen = 0

        def batches(self, batch_size, *, seed=None):
            for batch in super().batches(batch_size, seed=seed):
                Counting.seen += len(batch.y)
                yield batch

    rows = digits.of_class(3)
    forget = ForgetTarget(Counting(rows.x, rows.y), "class", (3,))
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 10))
    with pytest.raises(MethodError, match=r"no linear regions.*reach=everywhere"):
        PRUNE().probe(network, forget, Context())
    assert Counting.seen == 0


def test_instructions_that_were_tampered_with_are_refused(digits):
    forget = class_three(digits)
    found = PRUNE().probe(digits.model, forget, Context())
    for name, change in (("bound", 0.01), ("patterns", -1)):
        bent = {**found.tensors, name: (found.tensors[name] * change).to(found.tensors[name].dtype)}
        with pytest.raises(MethodError, match="does not hold what its probe certified"):
            PRUNE().edit(digits.model, forget, Instructions(bent, found.facts), Context())
    short = {**found.tensors, "patterns": found.tensors["patterns"][:, :-1]}
    with pytest.raises(MethodError, match="not for this network"):
        PRUNE().edit(digits.model, forget, Instructions(short, found.facts), Context())
    with pytest.raises(MethodError, match="Run the probe again"):
        PRUNE().edit(digits.model, forget, Instructions({}), Context())


def test_instructions_travel_and_the_seed_decides(digits, tmp_path):
    forget = class_three(digits)
    found = PRUNE().probe(digits.model, forget, Context(seed=1))
    found.save(tmp_path / "file")
    torch.manual_seed(99)  # the global generator plays no part
    again = PRUNE().probe(digits.model, forget, Context(seed=1))
    for other in (Instructions.load(tmp_path / "file"), again):
        assert all(torch.equal(found.tensors[n], other.tensors[n]) for n in found.tensors)


@pytest.mark.parametrize("first", ["regions", "everywhere"])
def test_a_second_patch_joins_the_first_and_both_hold(digits, first):
    _, three = carry_out(digits.model, class_three(digits), PRUNE(reach=first))
    five = ForgetTarget(digits.of_class(5), "class", (5, 3))
    found, both = carry_out(three.model, five)
    assert isinstance(both.model, Patched)
    assert not isinstance(both.model.base, Patched)
    assert found.facts["certified"] == found.facts["rows"]
    assert digits.accuracy(both.model, 3) < 0.1
    assert digits.accuracy(both.model, 5) < 0.1


def test_representatives_are_real_points_spread_over_the_clusters():
    points = torch.cat([torch.randn(50, 3), 40 + torch.randn(50, 3)])
    chosen = representatives(points, 2, seed=0)
    assert sorted((chosen // 50).tolist()) == [0, 1]
    for half, at in zip((points[:50], points[50:]), sorted(chosen.tolist()), strict=True):
        nearest = (half - half.mean(0)).norm(dim=1).argmin()
        assert torch.equal(points[at], half[nearest])
    assert representatives(points[:3], 5, seed=0).tolist() == [0, 1, 2]

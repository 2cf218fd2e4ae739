"""What all edits over forget rows alone promise, for each of them."""

import copy

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.unlearning.boundary_expand import BoundaryExpand
from lethe.unlearning.boundary_shrink import BoundaryShrink
from lethe.unlearning.delete import Delete
from lethe.unlearning.gradient_ascent import GradientAscent
from lethe.unlearning.imu import IMU
from lethe.unlearning.jit import JiT
from lethe.unlearning.l2ul import L2UL
from lethe.unlearning.method import Context, ForgetTarget, Instructions, load_method, method_names
from lethe.unlearning.random_labels import RandomLabels
from lethe.unlearning.salun_forget_only import SalUnForgetOnly

L2UL_BRIEF = {"examples_per_row": 2, "steps": 2, "importance_rows": 20}
METHODS = [
    BoundaryShrink(),
    BoundaryExpand(),
    Delete(),
    GradientAscent(),
    GradientAscent(weights="influence"),
    RandomLabels(),
    SalUnForgetOnly(),
    L2UL(**L2UL_BRIEF),
    JiT(copies=2, epochs=3),
    IMU(),
    IMU(scope="all", learning_rate=1e-3),
]
ALL = pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.name}-{METHODS.index(m)}")
# Boundary Expand and JiT do not get there on this network at their defaults; their pages say so.
FORGETTING = [m for m in METHODS if m.name not in {"boundary_expand", "jit"}]
ROWS = [m for m in METHODS if "samples" in m.forgets]


def target(digits, *labels: int) -> ForgetTarget:
    return ForgetTarget(digits.of_class(*labels), "class", labels)


def carry_out(method, model, forget, context=None):
    context = context or Context()
    return method.edit(model, forget, method.probe(model, forget, context), context)


def short(method):
    return method.model_copy(update={"epochs": 2, "least_steps": 1})


@pytest.mark.parametrize("method", FORGETTING, ids=lambda m: m.name)
def test_a_class_is_forgotten_and_the_network_survives(digits, method):
    edit = carry_out(method, digits.model, target(digits, 3))
    assert edit.stopped.startswith("Forgotten after")
    assert edit.curves["forget_accuracy"][-1] == 0
    assert digits.accuracy(edit.model, 3) < 0.1
    assert digits.accuracy(edit.model, *(c for c in range(10) if c != 3)) > 0.7


@ALL
def test_it_is_installed_under_its_name_and_needs_no_more(method):
    assert method.name in method_names()
    assert type(load_method(method.name)) is type(method)
    assert method.needs == "forget_only"


@ALL
def test_the_original_its_flags_and_statistics_are_kept(digits, method):
    original = copy.deepcopy(digits.model).train()
    original.conv2.weight.requires_grad_(requires_grad=False)
    weights = copy.deepcopy(original.state_dict())
    flags = {name: weight.requires_grad for name, weight in original.named_parameters()}
    edit = carry_out(short(method), original, target(digits, 3))
    assert all(torch.equal(weights[n], tensor) for n, tensor in original.state_dict().items())
    assert original.training
    assert torch.equal(edit.model.conv2.weight, weights["conv2.weight"])
    assert not torch.equal(edit.model.head.weight, weights["head.weight"])
    for model in (original, edit.model):
        assert flags == {name: weight.requires_grad for name, weight in model.named_parameters()}
        assert all(weight.grad is None for weight in model.parameters())
    assert not any(module.training for module in edit.model.modules())
    assert all(torch.equal(weights[n], buffer) for n, buffer in edit.model.named_buffers())
    assert edit.model.state_dict().keys() == weights.keys()
    assert all(t.shape == weights[n].shape for n, t in edit.model.state_dict().items())


@ALL
def test_the_seed_decides_and_instructions_travel(digits, method, tmp_path):
    method, forget = short(method), target(digits, 3)

    def head(instructions, seed):
        return method.edit(digits.model, forget, instructions, Context(seed=seed)).model.head.weight

    found = method.probe(digits.model, forget, Context(seed=1))
    found.save(tmp_path / "file")
    torch.manual_seed(99)  # the global generator plays no part
    first = head(found, 1)
    assert torch.equal(first, head(Instructions.load(tmp_path / "file"), 1))
    assert torch.equal(first, head(method.probe(digits.model, forget, Context(seed=1)), 1))
    assert not torch.equal(first, head(method.probe(digits.model, forget, Context(seed=2)), 2))


@ALL
def test_progress_ends_at_its_total_and_every_curve_has_a_value_per_epoch(digits, method):
    heard: list[tuple[int, int]] = []
    context = Context(progress=lambda done, total: heard.append((done, total)))
    method, forget = short(method), target(digits, 3)
    found = method.probe(digits.model, forget, context)
    assert heard[-1] == (len(forget.rows), len(forget.rows))
    assert found.facts["rows"] == len(forget.rows) >= found.facts["recognised"] > 0
    heard.clear()
    edit = method.edit(digits.model, forget, found, context)
    assert heard[-1] == (edit.epochs, edit.epochs)
    assert {"loss", "forget_accuracy"} <= edit.curves.keys()
    assert all(len(curve) == edit.epochs for curve in edit.curves.values())
    assert edit.stopped.startswith("Not forgotten")


class Uneven:
    """Rows that stream: batches smaller than asked, in an order of their own, once each pass."""

    def __init__(self, rows: TensorRows) -> None:
        self.rows, self.shape = rows, rows.shape

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batch_size, *, seed=None):
        del batch_size
        yield from reversed(list(self.rows.batches(7, seed=seed)))


@ALL
def test_what_was_found_belongs_to_positions_in_whatever_order_rows_stream(digits, method):
    rows = digits.of_class(3)
    forget = ForgetTarget(Uneven(rows), "class", (3,))
    streamed = method.probe(digits.model, forget, Context())
    stored = method.probe(digits.model, target(digits, 3), Context())
    for name, tensor in stored.tensors.items():
        if len(tensor) == len(rows):
            torch.testing.assert_close(streamed.tensors[name], tensor)
    assert short(method).edit(digits.model, forget, streamed, Context()).epochs == 2


@ALL
def test_instructions_for_other_rows_are_refused(digits, method):
    found = method.probe(digits.model, target(digits, 3), Context())
    other = TensorRows(digits.rows.x[:50], digits.rows.y[:50])
    for instructions in (found, Instructions({})):
        with pytest.raises(MethodError, match="Run the probe again"):
            method.edit(digits.model, ForgetTarget(other, "class", (3,)), instructions, Context())


@ALL
def test_a_broken_model_is_refused_and_never_returned(digits, method):
    forget, broken = target(digits, 3), copy.deepcopy(digits.model)
    found = method.probe(digits.model, forget, Context())
    with torch.no_grad():
        broken.head.weight.fill_(float("nan"))
    with pytest.raises(MethodError, match="not all finite"):
        method.probe(broken, forget, Context())
    with pytest.raises(MethodError, match=r"diverged.*Lower `learning_rate`"):
        method.edit(broken, forget, found, Context())


@ALL
def test_a_network_frozen_by_its_owner_where_it_would_change_is_refused(digits, method):
    model = copy.deepcopy(digits.model).requires_grad_(requires_grad=False)
    model.conv1.weight.requires_grad_(requires_grad=True)
    share = {"edited_share": 0.1} if "edited_share" in type(method).model_fields else {}
    if method.name == "imu" and method.scope == "all":
        pytest.skip("changes the layer that is free")
    method, forget = method.model_copy(update=share), target(digits, 3)
    found = method.probe(digits.model, forget, Context())
    with pytest.raises(MethodError, match=r"frozen.*left as it was"):
        method.edit(model, forget, found, Context())


@pytest.mark.parametrize("method", ROWS, ids=lambda m: f"{m.name}-{METHODS.index(m)}")
def test_single_rows_are_pushed_until_few_enough_are_recognised(digits, method):
    rows = TensorRows(digits.rows.x[:40], digits.rows.y[:40])
    forget = ForgetTarget(rows, "samples")
    edit = carry_out(method, digits.model, forget)
    if method.name != "jit":
        assert edit.stopped.startswith("Forgotten after")
        assert 0.3 < edit.curves["forget_accuracy"][-1] <= 0.9
        assert edit.curves["forget_accuracy"][0] > 0.9
    assert digits.accuracy(edit.model, *range(10)) > 0.7


def test_rows_with_a_label_that_the_model_does_not_know_are_refused(digits):
    rows = TensorRows(digits.rows.x[:4], torch.tensor([1, 2, -1, 3]))
    with pytest.raises(MethodError, match="label that the model does not know"):
        GradientAscent().probe(digits.model, ForgetTarget(rows, "samples"), Context())


def test_a_network_with_one_output_has_no_other_class_to_give():
    rows = TensorRows(torch.ones(3, 2), torch.zeros(3, dtype=torch.long))
    with pytest.raises(MethodError, match="single output"):
        RandomLabels().probe(nn.Linear(2, 1), ForgetTarget(rows, "samples"), Context())


@pytest.mark.parametrize("method", [BoundaryExpand(), IMU()], ids=lambda m: m.name)
def test_logits_that_come_from_no_linear_layer_are_refused(digits, method):
    class Sharper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = copy.deepcopy(digits.model)

        def forward(self, x):
            return 2 * self.inner(x)

    with pytest.raises(MethodError, match="linear layer"):
        method.probe(Sharper(), target(digits, 3), Context())


def test_rows_are_pushed_no_further_once_they_are_wrong():
    """Two rows on a linear network: one is wrong already, and by rows it gets no gradient."""
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.eye(2))
    rows = TensorRows(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))
    method = GradientAscent(optimizer="sgd", learning_rate=0.1, epochs=1, least_steps=1, bound=9.0)
    by_rows = carry_out(method, model, ForgetTarget(rows, "samples")).model.weight
    by_class = carry_out(method, model, ForgetTarget(rows, "class", (0,))).model.weight
    assert torch.equal(by_rows[:, 1], torch.tensor([0.0, 1.0]))
    assert not torch.equal(by_class[:, 1], torch.tensor([0.0, 1.0]))
    # Half of the gradient of CE of the first row: p - onehot = (-q, q) with q = 1 / (1 + e).
    step = 0.1 * 0.5 / (1 + torch.e)
    torch.testing.assert_close(by_rows[:, 0], torch.tensor([1 - step, step]))


def test_the_gradient_is_clipped():
    model = nn.Linear(2, 2, bias=False)
    rows = TensorRows(torch.tensor([[300.0, 0.0]]), torch.tensor([int(model.weight[1, 0] > 0)]))
    method = GradientAscent(
        optimizer="sgd", learning_rate=0.1, clip=0.5, bound=1e6, epochs=1, least_steps=1
    )
    edit = carry_out(method, model, ForgetTarget(rows, "class", (int(rows.y[0]),)))
    assert (edit.model.weight - model.weight).norm().item() <= 0.1 * 0.5 + 1e-6

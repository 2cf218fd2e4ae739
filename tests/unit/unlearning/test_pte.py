"""PTE forgets what it is told to, keeps the rest and leaves the original as it was."""

import copy

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.unlearning.method import Context, ForgetTarget, Instructions, load_method
from lethe.unlearning.pte import PTE


def target(digits, *labels: int) -> ForgetTarget:
    return ForgetTarget(digits.of_class(*labels), "class", labels)


@pytest.fixture(scope="module")
def probed(digits) -> Instructions:
    return PTE().probe(digits.model, target(digits, 3), Context())


@pytest.fixture(scope="module")
def edited(digits, probed):
    return PTE().edit(digits.model, target(digits, 3), probed, Context())


RETAINED = [label for label in range(10) if label != 3]


def test_it_forgets_the_class_and_keeps_the_others(digits, edited):
    assert digits.accuracy(digits.model, 3) > 0.9
    assert digits.accuracy(edited.model, 3) == 0
    before, after = (digits.accuracy(m, *RETAINED) for m in (digits.model, edited.model))
    assert after >= before - 0.015
    assert edited.stopped.startswith("Forgotten after")


@pytest.mark.parametrize(
    "options",
    [
        {"push": "cross_entropy"},
        {"push": "none", "pull": "teacher_only"},
        {"norm": "l2"},
        {"edited_share": 1.0},
        {"temperature": 2.0},
    ],
)
def test_every_corner_that_pushes_forgets(digits, options):
    method = load_method("pte", options)
    forget = target(digits, 3)
    edit = method.edit(
        digits.model, forget, method.probe(digits.model, forget, Context()), Context()
    )
    assert digits.accuracy(edit.model, 3) == 0
    assert digits.accuracy(edit.model, *RETAINED) > 0.9


def test_pull_alone_retains_and_cannot_forget(digits, probed):
    method = PTE(push="none", epochs=3, least_steps=1)
    edit = method.edit(digits.model, target(digits, 3), probed, Context())
    assert digits.accuracy(edit.model, 3) > 0.9
    assert edit.stopped.startswith("Not forgotten")
    assert edit.epochs == 3


def test_push_alone_costs_more_than_push_with_pull(digits, probed):
    def retained(method):
        edit = method.edit(digits.model, target(digits, 3), probed, Context())
        return digits.accuracy(edit.model, *RETAINED)

    pushes = PTE(push="cross_entropy", pull="none", learning_rate=5e-3)
    both = PTE(push="cross_entropy", learning_rate=5e-3)
    assert retained(both) > retained(pushes) + 0.05


def test_two_classes_at_once(digits):
    method, forget = PTE(), target(digits, 3, 8)
    edit = method.edit(
        digits.model, forget, method.probe(digits.model, forget, Context()), Context()
    )
    rest = [label for label in range(10) if label not in {3, 8}]
    assert digits.accuracy(edit.model, 3, 8) == 0
    assert digits.accuracy(edit.model, *rest) > digits.accuracy(digits.model, *rest) - 0.02
    with torch.no_grad():
        predicted = edit.model(digits.of_class(3, 8).x).argmax(1)
    assert not torch.isin(predicted, torch.tensor([3, 8])).any()


def test_push_on_probes_moves_the_boundary_there(digits):
    method = PTE(epsilon=0.1, push="cross_entropy", push_on="probe", epochs=5, repair_epochs=0)
    probed = method.probe(digits.model, target(digits, 3), Context())
    assert probed.facts["failed_probes"] > 0.5 * probed.facts["rows"]
    edit = method.edit(digits.model, target(digits, 3), probed, Context())
    x, labels = probed.tensors["probe_inputs"], probed.tensors["probe_labels"]
    before, after = (
        nn.functional.cross_entropy(m(x), labels).item() for m in (digits.model, edit.model)
    )
    assert after < before / 2


def test_the_instructions_are_the_originals_own_word(digits, probed):
    rows, tensors, facts = digits.of_class(3), probed.tensors, probed.facts
    torch.testing.assert_close(tensors["teacher_logits"], digits.model(rows.x))
    probe_logits = digits.model(tensors["probe_inputs"])
    torch.testing.assert_close(tensors["probe_teacher_logits"], probe_logits)
    probe_logits[:, 3] = -torch.inf
    assert torch.equal(tensors["probe_labels"], probe_logits.argmax(1))
    assert not (tensors["labels"] == 3).any()
    assert facts["rows"] == len(rows) == sum(facts["landed"]) == sum(facts["instructed"])
    assert facts["instructed"][3] == 0
    assert facts["landed"][3] == facts["failed_probes"]
    assert sum(facts["confidence_clean"]) == sum(facts["confidence_probe"]) == len(rows)
    assert facts["confidence_clean"][-1] > facts["confidence_probe"][-1]
    assert facts["scale"] == pytest.approx(rows.x.std(correction=0).item(), rel=1e-4)


def test_a_failed_probe_is_never_instructed_to_stay(digits):
    found = PTE(epsilon=1e-6).probe(digits.model, target(digits, 3), Context())
    assert found.facts["failed_probes"] > 0.9 * found.facts["rows"]
    assert found.facts["instructed"][3] == 0


def test_the_bank_is_bounded(digits):
    found = PTE(bank_rows=10, anchors_per_class=2).probe(digits.model, target(digits, 3), Context())
    shapes = {name: tuple(tensor.shape) for name, tensor in found.tensors.items()}
    count = len(digits.of_class(3))
    assert shapes == {
        "labels": (count,),
        "teacher_logits": (count, 10),
        "probe_inputs": (10, 1, 8, 8),
        "probe_teacher_logits": (10, 10),
        "probe_labels": (10,),
        "anchor_inputs": (18, 1, 8, 8),
        "anchor_teacher_logits": (18, 10),
        "anchor_labels": (18,),
    }


class Uneven:
    """Rows that stream: batches smaller than asked, in an order of their own, once each pass."""

    def __init__(self, rows: TensorRows) -> None:
        self.rows, self.shape = rows, rows.shape

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batch_size, *, seed=None):
        del batch_size
        yield from reversed(list(self.rows.batches(7, seed=seed)))


def test_rows_that_stream_in_any_order_are_matched_by_position(digits):
    rows = digits.of_class(3)
    method, forget = PTE(), ForgetTarget(Uneven(rows), "class", (3,))
    probed = method.probe(digits.model, forget, Context())
    torch.testing.assert_close(probed.tensors["teacher_logits"], digits.model(rows.x))
    edit = method.edit(digits.model, forget, probed, Context())
    assert digits.accuracy(edit.model, 3) == 0
    assert digits.accuracy(edit.model, *RETAINED) > digits.accuracy(digits.model, *RETAINED) - 0.02


def test_instructions_travel_between_the_phases(digits, probed, edited, tmp_path):
    probed.save(tmp_path / "instructions.safetensors")
    read = Instructions.load(tmp_path / "instructions.safetensors")
    again = PTE().edit(digits.model, target(digits, 3), read, Context())
    for name, weight in edited.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name])


def test_the_seed_decides(digits, edited):
    method, forget = PTE(), target(digits, 3)
    torch.manual_seed(99)  # the global generator plays no part

    def weights(seed):
        context = Context(seed=seed)
        instructions = method.probe(digits.model, forget, context)
        return method.edit(digits.model, forget, instructions, context).model.head.weight

    assert torch.equal(weights(0), edited.model.head.weight)
    assert not torch.equal(weights(1), edited.model.head.weight)


def test_the_original_is_untouched_and_flags_are_kept(digits):
    original = copy.deepcopy(digits.model).train()
    original.norm1.eval()
    original.conv1.weight.requires_grad_(requires_grad=False)
    weights = copy.deepcopy(original.state_dict())
    modes = {name: module.training for name, module in original.named_modules()}
    flags = {name: weight.requires_grad for name, weight in original.named_parameters()}
    method, forget = PTE(edited_share=1.0), target(digits, 3)
    edit = method.edit(original, forget, method.probe(original, forget, Context()), Context())
    assert all(torch.equal(weights[name], tensor) for name, tensor in original.state_dict().items())
    assert modes == {name: module.training for name, module in original.named_modules()}
    for model in (original, edit.model):
        assert flags == {name: weight.requires_grad for name, weight in model.named_parameters()}
        assert all(weight.grad is None for weight in model.parameters())
    assert not any(module.training for module in edit.model.modules())
    assert torch.equal(edit.model.conv1.weight, original.conv1.weight)


def test_batchnorm_statistics_stay(digits):
    method, forget = PTE(edited_share=1.0), target(digits, 3)
    edit = method.edit(
        digits.model, forget, method.probe(digits.model, forget, Context()), Context()
    )
    buffers = dict(edit.model.named_buffers())
    assert buffers
    assert all(torch.equal(tensor, buffers[name]) for name, tensor in digits.model.named_buffers())
    assert not torch.equal(edit.model.conv1.weight, digits.model.conv1.weight)


def test_dropout_is_off(digits):
    model = nn.Sequential(nn.Dropout(0.5), copy.deepcopy(digits.model)).train()
    found = PTE().probe(model, target(digits, 3), Context())
    torch.testing.assert_close(found.tensors["teacher_logits"], digits.model(digits.of_class(3).x))


def test_one_row_is_enough(digits):
    rows = digits.of_class(3)
    forget = ForgetTarget(TensorRows(rows.x[:1], rows.y[:1]), "class", (3,))
    method = PTE(anchors_per_class=5)
    edit = method.edit(
        digits.model, forget, method.probe(digits.model, forget, Context()), Context()
    )
    with torch.no_grad():
        assert edit.model(rows.x[:1]).argmax(1).item() != 3
    assert digits.accuracy(edit.model, *RETAINED) > 0.9


def test_progress_ends_at_its_total_and_curves_have_a_value_per_epoch(digits):
    heard: list[tuple[int, int]] = []
    context = Context(progress=lambda done, total: heard.append((done, total)))
    method, forget = PTE(), target(digits, 3)
    instructions = method.probe(digits.model, forget, context)
    assert heard[-1][0] == heard[-1][1]
    heard.clear()
    edit = method.edit(digits.model, forget, instructions, context)
    assert heard[-1][0] == heard[-1][1] == edit.epochs
    assert {"loss", "push", "pull", "forget_accuracy"} == set(edit.curves)
    assert all(len(curve) == edit.epochs for curve in edit.curves.values())
    assert edit.curves["forget_accuracy"][0] > edit.curves["forget_accuracy"][-1] == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((), "not among"),
        ((11,), "not among"),
        ((-1,), "not among"),
        (range(10), "no class is left"),
    ],
)
def test_what_cannot_be_forgotten_is_refused_by_both_phases(digits, probed, labels, message):
    forget = ForgetTarget(digits.of_class(3), "class", tuple(labels))
    with pytest.raises(MethodError, match=message):
        PTE().probe(digits.model, forget, Context())
    with pytest.raises(MethodError, match=message):
        PTE().edit(digits.model, forget, probed, Context())


def test_an_empty_or_constant_forget_set_is_refused(digits):
    empty = TensorRows(torch.empty(0, 1, 8, 8), torch.empty(0, dtype=torch.long))
    with pytest.raises(MethodError, match="no rows"):
        PTE().probe(digits.model, ForgetTarget(empty, "class", (3,)), Context())
    constant = TensorRows(torch.ones(4, 1, 8, 8), torch.full((4,), 3))
    with pytest.raises(MethodError, match="standard deviation"):
        PTE().probe(digits.model, ForgetTarget(constant, "class", (3,)), Context())


def test_instructions_for_other_rows_are_refused(digits, probed):
    with pytest.raises(MethodError, match="Run the probe again"):
        PTE().edit(digits.model, target(digits, 4), probed, Context())
    with pytest.raises(MethodError, match="Run the probe again"):
        PTE().edit(digits.model, target(digits, 3), Instructions({}), Context())


def test_a_broken_model_is_refused_and_never_returned(digits, probed):
    broken = copy.deepcopy(digits.model)
    with torch.no_grad():
        broken.head.weight.fill_(float("nan"))
    with pytest.raises(MethodError, match="not all finite"):
        PTE().probe(broken, target(digits, 3), Context())
    with pytest.raises(MethodError, match="diverged"):
        PTE().edit(broken, target(digits, 3), probed, Context())


def test_an_edit_that_diverges_says_so(digits, probed):
    method = PTE(learning_rate=1e30)
    with pytest.raises(MethodError, match="Lower `learning_rate`"):
        method.edit(digits.model, target(digits, 3), probed, Context())
    assert digits.accuracy(digits.model, 3) > 0.9


def test_no_logits_no_forgetting(digits):
    class Talkative(nn.Module):
        def forward(self, x):
            return {"logits": x}

    with pytest.raises(MethodError, match="does not return logits"):
        PTE().probe(Talkative(), target(digits, 3), Context())


@pytest.mark.parametrize(
    "options",
    [{"epsilon": 0}, {"epochs": "many"}, {"psh": "none"}, {"push": "none", "pull": "none"}],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(MethodError, match="does not accept"):
        load_method("pte", options)


def test_a_rate_far_too_small_for_a_network_grows_until_it_is_forgotten(digits, probed):
    slow = {"learning_rate": 2e-5, "repair_epochs": 0}
    constant = PTE(growth=1, **slow).edit(digits.model, target(digits, 3), probed, Context())
    growing = PTE(**slow).edit(digits.model, target(digits, 3), probed, Context())
    assert constant.stopped.startswith("Not forgotten")
    assert growing.stopped.startswith("Forgotten")
    assert digits.accuracy(growing.model, 3) == 0
    assert digits.accuracy(growing.model, *RETAINED) > 0.9

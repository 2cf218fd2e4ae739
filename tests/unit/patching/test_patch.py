"""A patch in numbers: two layers by hand, and what holds for any network."""

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_model, save_model
from scipy.optimize import linprog
from torch import nn

from lethe.data.rows import TensorRows
from lethe.patching.certificate import certify, frame
from lethe.patching.head import find_head
from lethe.patching.network import Patched, base_of, empty_patch, put_on
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.prune import PRUNE


def two_layers():
    """Logits (relu(a), relu(b), 0.5) of two features."""
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(2))
        network[0].bias.zero_()
        network[2].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
        network[2].bias.copy_(torch.tensor([0.0, 0.0, 0.5]))
    return network.eval()


BY_HAND = torch.tensor([[2.0, 1.0], [4.0, 1.0]])


@pytest.fixture
def by_hand():
    """Class 0 forgotten by two rows of the region where both units are on."""
    forget = ForgetTarget(TensorRows(BY_HAND, torch.zeros(2, dtype=torch.long)), "class", (0,))
    found = PRUNE().probe(two_layers(), forget, Context())
    return found, PRUNE().edit(two_layers(), forget, found, Context()).model


def test_the_region_the_box_and_the_bound_are_those_computed_by_hand(by_hand):
    found, _ = by_hand
    tensors = found.tensors
    assert tensors["patterns"].tolist() == [[1, 1]]  # one region holds both rows
    assert tensors["barred"].tolist() == [[True, False, False]]
    # Ranges are 2 and 0, their mean 1; half of the larger of both is added on each side.
    assert (tensors["low"].tolist(), tensors["high"].tolist()) == ([1.0, 0.5], [5.0, 1.5])
    # In the box class 0 leads by at most 5 - 0.5, over class 1 as over class 2.
    assert tensors["bound"].item() == pytest.approx(2 * (4.5 + 1), abs=1e-4)
    # |a| + |b| is 3 and 5, so a fifth of the mean is 0.8.
    assert tensors["sharpness"].item() == pytest.approx(1 / 0.8)


def test_in_the_region_the_patch_is_the_affine_function_computed_by_hand(by_hand):
    _, patched = by_hand
    # Another class less the margin: max(b, 0.5) - 1.
    expected = torch.tensor([[0.0, 1.0, 0.5], [0.0, 1.0, 0.5]])
    assert torch.equal(patched(BY_HAND), expected)
    found = certify(patched, BY_HAND, torch.tensor([[True, False, False]] * 2))
    assert found.covered.tolist() == found.certified.tolist() == found.whole.tolist() == [True] * 2
    # The nearest wall of the box is 0.5 away, in b.
    assert found.radius.tolist() == pytest.approx([0.5, 0.5])


def test_beyond_the_region_the_patch_fades_and_ends(by_hand):
    _, patched = by_hand
    near = torch.tensor([[1.0, -0.1]])  # 0.1 beyond the facet, 0.6 beyond the box: 0.7 of 0.8
    assert patched(near)[0].tolist() == pytest.approx([1 - 11 * 0.125, 0.0, 0.5], abs=1e-4)
    far = torch.tensor([[-3.0, -3.0], [1.0, -0.5], [9.0, 1.0], [0.0, 9.0]])
    assert torch.equal(patched(far), two_layers()(far))


def test_the_weights_below_are_the_same_bytes_and_can_be_taken_out(by_hand, tmp_path):
    _, patched = by_hand
    save_model(two_layers(), str(tmp_path / "before"))
    save_model(base_of(patched), str(tmp_path / "after"))
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()
    assert base_of(base_of(patched)) is patched.base


def test_a_patch_survives_its_file(by_hand, tmp_path):
    _, patched = by_hand
    save_model(patched, str(tmp_path / "file"))
    again = Patched(two_layers(), empty_patch(**patched.patch.sizes)).eval()
    load_model(again, str(tmp_path / "file"))
    x = torch.randn(50, 2)
    assert torch.equal(again(x), patched(x))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("patterns", lambda t: -t),
        ("bound", lambda t: t / 100),
        ("barred", torch.zeros_like),
        ("low", lambda t: t + 2),
        ("margin", torch.zeros_like),
        ("groups", None),
    ],
)
def test_a_patch_that_was_tampered_with_fails_its_certificate(by_hand, name, change):
    found, _ = by_hand
    tensors = dict(found.tensors)
    if change is None:
        tensors["barred"] = torch.tensor([[True, False, False], [False, False, True]])
        tensors["groups"] = torch.ones_like(tensors["groups"])
    else:
        tensors[name] = change(tensors[name])
    patched = put_on(two_layers(), {k: tensors[k] for k in patch_names(found)})
    proofs = certify(patched, BY_HAND, torch.tensor([[True, False, False]] * 2))
    assert not proofs.certified.any()


def patch_names(found):
    return [name for name in found.tensors if name != "certified"]


def test_another_network_under_the_same_patch_fails_its_certificate(by_hand):
    found, _ = by_hand
    other = two_layers()
    with torch.no_grad():
        other[2].weight[0] *= 100  # class 0 leads by more than the patch can take
    patched = put_on(other, {name: found.tensors[name] for name in patch_names(found)})
    assert not certify(patched, BY_HAND, torch.tensor([[True, False, False]] * 2)).certified.any()


def test_no_barred_class_is_no_proof(by_hand):
    _, patched = by_hand
    assert not certify(patched, BY_HAND, torch.zeros(2, 3, dtype=torch.bool)).certified.any()


def network_of(seed, depth, classes=4, features=5, width=12):
    torch.manual_seed(seed)
    sizes = [features, *[width] * depth]
    layers = [
        layer
        for before, after in pairwise(sizes)
        for layer in (nn.Linear(before, after), nn.ReLU())
    ]
    network = nn.Sequential(*layers, nn.Linear(width, classes))
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.weight *= 3
    return network.eval()


KINDS = st.sampled_from(["class", "samples"])
SEEDS = st.integers(0, 2**16)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, depth=st.integers(1, 3), kind=KINDS)
def test_where_it_is_certified_no_barred_class_is_answered_and_far_away_nothing_changes(
    seed, depth, kind
):
    network = network_of(seed, depth)
    x = torch.randn(30, 5)
    y = network(x).argmax(1)
    forgotten = (int(y[0]),) if kind == "class" else ()
    chosen = y == y[0] if kind == "class" else torch.arange(30) < 12
    rows = TensorRows(x[chosen], y[chosen])
    method, forget = PRUNE(), ForgetTarget(rows, kind, forgotten)
    found = method.probe(network, forget, Context())
    patched = method.edit(network, forget, found, Context()).model
    barred = nn.functional.one_hot(rows.y, 4).bool()
    proofs = certify(patched, rows.x, barred)
    assert torch.equal(proofs.certified, found.tensors["certified"])
    with torch.no_grad():
        # Anywhere in the cube that the certificate names.
        steps = torch.rand(400, 1, 5) * 2 - 1
        cube = rows.x + steps * proofs.radius.float()[None, :, None] * (1 - 1e-6)
        answers = patched(cube.flatten(0, 1)).argmax(1).view(400, -1)
        assert not (answers == rows.y)[:, proofs.certified].any()
        # Anywhere on the whole linear region, within the box.
        box = patched.patch.low + torch.rand(4000, 5) * (patched.patch.high - patched.patch.low)
        seen, own = patched.see(box), patched.see(rows.x).units > 0
        same = ((seen.units > 0)[:, None] == own[None]).all(2)
        wrong = patched(box).argmax(1)[:, None] == rows.y[None]
        assert not (same & wrong & proofs.whole).any()
        # No logit is raised, and out of reach none changes by a bit.
        wide = torch.cat([3 * torch.randn(500, 5), box])
        before, after = network(wide), patched(wide)
        assert (after <= before).all()
        out = (patched.patch.violation(patched.see(wide)) >= 1.001 / patched.patch.sharpness).all(1)
        assert torch.equal(before[out], after[out])
        if kind == "class":
            kept = before.argmax(1) != forgotten[0]
            assert torch.equal(before.argmax(1)[kept], after.argmax(1)[kept])


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_everywhere_the_class_is_answered_nowhere_and_other_answers_stay(seed):
    network = network_of(seed, 1)
    x = torch.randn(20, 5)
    rows = TensorRows(x, torch.full((20,), 2))
    method, forget = PRUNE(reach="everywhere"), ForgetTarget(rows, "class", (2,))
    found = method.probe(network, forget, Context())
    assert found.facts["certified"] == 20
    patched = method.edit(network, forget, found, Context()).model
    wide = torch.cat([10.0**power * torch.randn(200, 5) for power in range(-2, 4)])
    with torch.no_grad():
        before, after = network(wide), patched(wide)
    assert not (after.argmax(1) == 2).any()
    kept = before.argmax(1) != 2
    assert torch.equal(before.argmax(1)[kept], after.argmax(1)[kept])
    others = [0, 1, 3]
    assert torch.equal(before[:, others], after[:, others])


def test_affine_maps_are_the_network_itself_on_each_region():
    """Against autograd, which knows nothing of patterns."""
    network = network_of(7, 3)
    head, x = find_head(network), torch.randn(6, 5)
    seen = head.run(x)
    (maps,) = head.maps(torch.where(seen.units > 0, 1, -1))
    exact = copy.deepcopy(network).double()
    for row, weight, bias in zip(x.double(), maps.logits, maps.logit_bias, strict=True):
        torch.testing.assert_close(torch.autograd.functional.jacobian(exact, row), weight)
        torch.testing.assert_close(weight @ row + bias, exact(row))


def test_rounding_is_bounded_from_above():
    network = network_of(3, 3)
    head, x = find_head(network), torch.randn(2000, 5)
    units, logits, largest = head.rounding(x.abs().amax(0))
    seen = head.run(x)
    exact = copy.deepcopy(network).double()
    with torch.no_grad():
        off = (seen.logits.double() - exact(x.double())).abs().amax(0)
    assert (off <= logits).all()
    assert off.max() > 0
    assert seen.logits.abs().max() <= largest
    assert len(units) == head.units == 36


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = two_layers()

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(2, 3)),
        nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(2, 3), nn.ReLU()),
        Custom(),
    ],
    ids=["tanh", "linear", "norm-between", "relu-last", "own-forward"],
)
def test_a_network_without_a_relu_head_has_none(network):
    assert find_head(network) is None


def test_nested_sequentials_end_in_their_last_linear_layers():
    inner = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(4, 6))
    network = nn.Sequential(inner, nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(6, 3)).eval()
    head, x = find_head(network), torch.randn(5, 1, 4)
    assert (head.inputs, head.units, head.outputs, len(head.body)) == (4, 6, 3, 2)
    seen = head.run(x)
    assert torch.equal(seen.logits, network(x))
    assert (seen.units < 0).any()  # an in-place ReLU would have overwritten them


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_no_linear_program_finds_a_higher_lead_than_the_certificate_allows_for(seed):
    """Against scipy's solver, on the exact polytope of each row's region within the box."""
    network = network_of(seed, 2, width=6)
    head, x = find_head(network), torch.randn(4, 5)
    low, high = torch.full((5,), -3.0), torch.full((5,), 3.0)
    seen = head.run(x)
    barred = nn.functional.one_hot(seen.logits.argmax(1), 4).bool()
    known = frame(head, seen, barred, low, high)
    exact = copy.deepcopy(network).double()
    before_relu = [exact[:1], exact[:3]]
    for row, own in enumerate(barred.int().argmax(1).tolist()):
        point = x[row].double()
        jacobian = torch.cat(
            [torch.autograd.functional.jacobian(part, point) for part in before_relu]
        )
        units = torch.cat([part(point) for part in before_relu]).detach()
        signs = units.sign()[:, None]
        # sign * (J h + units - J point) >= 0
        walls = {
            "A_ub": (-signs * jacobian).numpy(),
            "b_ub": (signs[:, 0] * (units - jacobian @ point)).numpy(),
            "bounds": [(-3, 3)] * 5,
        }
        lead = torch.autograd.functional.jacobian(lambda h, c=own: exact(h)[c] - exact(h), point)
        at = (exact(point)[own] - exact(point)).detach()
        for other in range(4):
            if other == own:
                continue
            best = linprog(-lead[other].numpy(), **walls)
            assert best.status == 0
            found = -best.fun + (at[other] - lead[other] @ point).item()
            assert found <= known.in_box[row, 0, other].item()
            assert at[other].item() <= known.in_cube[row, 0, other].item()

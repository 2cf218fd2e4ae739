import copy

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import ModelError
from lethe.evaluation.feature_level.relearn import relearn
from lethe.evaluation.feature_level.relearn_curve import (
    anamnesis_index,
    area,
    corrected_accuracy,
    steps_to,
)
from lethe.evaluation.feature_level.results import RelearnCurve
from lethe.evaluation.feature_level.settings import RelearnSettings

CPU = torch.device("cpu")
FORGOTTEN = 3


def learn(model, parts, *, retained: bool = True, held_out: bool = True, seed: int = 0, **named):
    return relearn(
        model,
        parts.forget,
        parts.forget_held_out,
        device=named.pop("device", CPU),
        retained=parts.retained if retained else None,
        retained_held_out=parts.retained_held_out if held_out else None,
        settings=RelearnSettings(**named),
        seed=seed,
    )


def curve(forget, *, steps=None, claimed=None, planned=None) -> RelearnCurve:
    steps = steps or tuple(range(len(forget)))
    return RelearnCurve(
        steps=steps,
        forget=forget,
        retained=claimed and (0.5,) * len(forget),
        claimed=claimed,
        forget_count=4,
        retained_count=4 if claimed else 0,
        rows=8,
        planned=planned or steps[-1],
        forget_only=False,
        fresh_head=False,
        stopped="steps",
    )


def masked(model: nn.Module, bias: float) -> nn.Module:
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.head.weight[FORGOTTEN] = 0
        model.head.bias[FORGOTTEN] = bias
    return model


def test_whatever_was_done_to_the_head_the_curve_is_that_of_the_original(parts, networks):
    original = learn(networks["original"], parts)
    for edited in (networks["head_only"], masked(networks["original"], -20.0)):
        assert learn(edited, parts) == original
    assert original.fresh_head
    assert not original.forget_only
    assert original.rows == 200


def test_a_network_that_never_knew_the_class_learns_it_more_slowly(parts, networks):
    areas = {
        name: sum(area(learn(networks[name], parts, seed=seed), corrected=True) for seed in (0, 1))
        for name in ("original", "retrained", "fresh")
    }
    assert areas["fresh"] < areas["retrained"] < areas["original"]


def test_a_kept_head_that_refuses_the_class_hides_its_features(parts, networks):
    """Why a fresh head is the default: the mask passes for less than a retrained network."""
    found = {
        "masked": learn(masked(networks["original"], -20.0), parts, fresh_head=False),
        "refusing": learn(networks["head_only"], parts, fresh_head=False),
        "retrained": learn(networks["retrained"], parts, fresh_head=False),
    }
    assert area(found["refusing"]) == 0
    assert area(found["masked"]) < area(found["retrained"])


def test_a_class_that_is_still_known_is_there_before_the_first_update(parts, networks):
    found = learn(networks["original"], parts, fresh_head=False, recovered=0.9, hold=3)
    assert found.forget[0] > 0.9
    assert found.stopped == "recovered"
    assert found.steps == (0, 1, 2)
    assert not found.fresh_head
    assert steps_to(found, 0.9) == 0


def test_without_retained_rows_any_network_recovers_by_one_answer_always(parts, networks):
    found = learn(networks["fresh"], parts, retained=False, hold=61)
    assert found.forget_only
    assert not found.fresh_head
    assert found.forget[-1] == 1
    assert found.claimed[-1] > 0.9
    assert area(found) > 0.8
    assert area(found, corrected=True) < 0.1
    alone = learn(networks["fresh"], parts, retained=False, held_out=False)
    assert alone.claimed is alone.retained is corrected_accuracy(alone) is None
    assert area(alone, corrected=True) is steps_to(alone, 0.1, corrected=True) is None


def test_a_head_of_zeros_answers_nothing_at_first(parts, networks):
    """Class 0 is what the largest of equal numbers would name."""
    zero = [rows.y == 0 for rows in (parts.train, parts.held_out)]
    found = relearn(
        networks["fresh"],
        TensorRows(parts.train.x[zero[0]], parts.train.y[zero[0]]),
        TensorRows(parts.held_out.x[zero[1]], parts.held_out.y[zero[1]]),
        device=CPU,
        retained=TensorRows(parts.train.x[~zero[0]], parts.train.y[~zero[0]]),
        retained_held_out=TensorRows(parts.held_out.x[~zero[1]], parts.held_out.y[~zero[1]]),
        settings=RelearnSettings(steps=1),
    )
    assert (found.forget[0], found.retained[0], found.claimed[0]) == (0, 0, 0)


def test_the_same_seed_gives_the_same_curve_and_nothing_else_is_touched(parts, networks):
    model = copy.deepcopy(networks["retrained"]).requires_grad_(requires_grad=False).train()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    with torch.no_grad():
        one = learn(model, parts, steps=8)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert learn(model, parts, steps=8) == one
    assert learn(model, parts, steps=8, seed=1) != one
    torch.set_rng_state(state)
    assert model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert one.forget[-1] > one.forget[0]
    assert RelearnCurve.model_validate_json(one.model_dump_json()) == one


def test_dropout_and_batch_statistics_play_no_part(parts):
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8))
    dropping = nn.Sequential(body, nn.Dropout(0.9), nn.Linear(8, 10)).train()
    plain = nn.Sequential(body, nn.Identity(), dropping[2]).train()
    assert learn(dropping, parts, steps=5) == learn(plain, parts, steps=5)
    # One row has no variance in train mode.
    assert learn(plain, parts, steps=2, batch_size=1).steps == (0, 1, 2)


def test_it_is_measured_every_so_often_and_at_the_end(parts, networks):
    heard = []
    found = relearn(
        networks["fresh"],
        parts.forget,
        parts.forget_held_out,
        device=CPU,
        settings=RelearnSettings(steps=7, every=3, held_out_rows=20, rows=30),
        progress=lambda done, planned: heard.append((done, planned)),
    )
    assert found.steps == (0, 3, 6, 7)
    assert found.forget_count == 20
    assert found.rows == 30
    assert found.stopped == "steps"
    assert heard == [(step, 7) for step in range(1, 8)]


def test_the_rows_are_balanced_over_all_classes(parts):
    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 10)
            self.seen = []

        def __deepcopy__(self, memo):
            return self

        def forward(self, x):
            if torch.is_grad_enabled():
                self.seen.append(x.detach())
            return self.head(x.flatten(1))

    spy = Spy()
    learn(spy, parts, steps=4, rows=50, batch_size=25, fresh_head=False)
    first, second = (torch.cat(spy.seen[place : place + 2]) for place in (0, 2))
    known = {
        tuple(x.flatten().tolist()): int(y)
        for x, y in zip(parts.train.x, parts.train.y, strict=True)
    }
    for epoch in (first, second):
        labels = [known[tuple(x.flatten().tolist())] for x in epoch]
        assert [labels.count(label) for label in range(10)] == [5] * 10
    assert not torch.equal(first, second)


def test_a_loss_that_is_not_finite_ends_the_curve(parts, networks):
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = copy.deepcopy(networks["original"])

        def forward(self, x):
            mask = torch.zeros(10)
            mask[FORGOTTEN] = -torch.inf
            return self.inner(x) + mask

    found = learn(Masked(), parts)
    assert (found.stopped, found.steps, found.forget) == ("not_finite", (0,), (0.0,))
    assert area(found) == 0


def test_recurrent_layers_relearn_as_well(parts):
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(8, 6, num_layers=2, dropout=0.5, batch_first=True)
            self.head = nn.Linear(6, 10)

        def forward(self, x):
            return self.head(self.gru(x[:, 0])[0][:, -1])

    model = Recurrent()
    assert learn(model, parts, steps=3) == learn(model, parts, steps=3)
    assert model.gru.dropout == 0.5


def test_what_cannot_be_measured_is_none(parts, networks):
    nothing = TensorRows(torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64))
    unknown = TensorRows(parts.forget.x, torch.full_like(parts.forget.y, -1))
    for empty in (nothing, unknown):
        for forget, held_out in ((empty, parts.forget), (parts.forget, empty)):
            found = relearn(
                networks["fresh"], forget, held_out, device=CPU, retained=parts.retained
            )
            assert found is None
        found = relearn(
            networks["fresh"],
            parts.forget,
            parts.forget,
            device=CPU,
            retained=empty,
            retained_held_out=empty,
            settings=RelearnSettings(steps=1),
        )
        assert found.forget_only
        assert found.retained is None


def test_a_network_without_a_linear_head_cannot_start_afresh(parts):
    model = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(ModelError, match="fresh_head"):
        learn(model, parts)
    assert learn(model, parts, fresh_head=False, steps=1).steps == (0, 1)


def test_readings_by_hand():
    found = curve((0.0, 0.5, 1.0), steps=(0, 2, 4), claimed=(0.0, 0.75, 0.25), planned=6)
    assert area(found) == pytest.approx((2 * 0.25 + 2 * 0.75 + 2 * 1.0) / 6)
    assert corrected_accuracy(found) == (0.0, 0.0, 0.75)
    assert area(found, corrected=True) == pytest.approx((0 + 2 * 0.375 + 2 * 0.75) / 6)
    assert [steps_to(found, level) for level in (0.0, 0.4, 0.5, 0.51, 1.0)] == [0, 2, 2, 4, 4]
    assert steps_to(found, 0.5, corrected=True) == 4
    assert steps_to(found, 0.8, corrected=True) is None
    assert area(curve((1.0,), planned=3)) == 1


def test_the_anamnesis_index_compares_steps():
    slow, fast = curve((0.0, 0.2, 0.5, 0.7, 0.9)), curve((0.0, 0.9))
    assert anamnesis_index(fast, slow, 0.7) == pytest.approx(1 / 3)
    assert anamnesis_index(slow, fast, 0.7) == pytest.approx(3)
    assert anamnesis_index(curve((1.0,), planned=1), slow, 0.7) == 0
    assert anamnesis_index(slow, curve((1.0,), planned=1), 0.7) is None
    assert anamnesis_index(slow, fast, 0.95) is None


@pytest.mark.parametrize(
    ("steps", "forget"), [((0, 1), (0.5,)), ((1, 2), (0.5, 0.5)), ((0, 2, 1), (0.1, 0.2, 0.3))]
)
def test_a_curve_whose_columns_do_not_fit_is_refused(steps, forget):
    with pytest.raises(ValueError, match="steps"):
        curve(forget, steps=steps)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_accelerator_gives_nearly_the_same_curve(parts, networks):
    near = learn(networks["retrained"], parts, steps=10)
    far = learn(networks["retrained"], parts, steps=10, device=torch.device("cuda"))
    assert area(far) == pytest.approx(area(near), abs=0.1)
    assert next(networks["retrained"].parameters()).device == CPU

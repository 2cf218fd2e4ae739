"""Each person's losses come from a network that never saw them."""

import pytest
import torch
from torch.nn import functional as F

from lethe.data.card_facts import LEVELS
from lethe.data.rows import TensorRows
from lethe.errors import DataError
from lethe.models import cross_fitting
from lethe.models.cross_fitting import cross_fit
from lethe.models.training import TrainingSettings, new_network, train

CPU = torch.device("cpu")
RECIPE = TrainingSettings(
    network="lethe.models.networks:digits_cnn",
    network_kwargs={"classes": 3},
    epochs=2,
    unseen_folds=2,
)
SUBJECTS = [None if at % 7 == 0 else "abcd"[at % 4] for at in range(120)]


def rows():
    drawn = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 3
    y[::11] = -1
    return TensorRows(torch.rand(120, 1, 8, 8, generator=drawn), y)


def made(subjects=SUBJECTS, recipe=RECIPE, data=None):
    return cross_fit(
        data or rows(), subjects, recipe, classes=3, device=CPU, seed=3, mark=lambda one: one * 2
    )


def test_a_person_s_losses_are_those_of_a_network_trained_without_their_fold():
    found = made()
    assert found.folds == 2
    assert found.people.fingerprints == ("aa", "bb", "cc", "dd")
    all_rows = rows()
    # Dealt in the order of ids: b and d are the second fold.
    kept = torch.tensor([one not in {"b", "d"} for one in SUBJECTS])
    network = train(
        new_network(RECIPE, seed=3),
        TensorRows(all_rows.x[kept], all_rows.y[kept]),
        RECIPE,
        seed=3,
    ).model
    mine = torch.tensor([one == "b" for one in SUBJECTS]) & (all_rows.y >= 0)
    with torch.no_grad():
        losses = F.cross_entropy(
            network(all_rows.x[mine]), all_rows.y[mine], reduction="none"
        ).double()
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    assert torch.allclose(found.people.all_loss[1].double(), losses.quantile(levels), atol=1e-5)
    expected = torch.bincount(all_rows.y[mine], minlength=3)
    assert torch.equal(found.people.rows[1], expected)


def test_no_network_is_trained_on_the_people_it_is_asked_about(monkeypatch):
    seen = []

    def watched(network, data, *arguments, **more):
        seen.append(len(data))
        return train(network, data, *arguments, **more)

    monkeypatch.setattr(cross_fitting, "train", watched)
    made()
    counts = [sum(one in fold for one in SUBJECTS) for fold in ({"a", "c"}, {"b", "d"})]
    assert seen == [120 - count for count in counts]


def test_streamed_rows_give_the_tables_of_rows_in_memory():
    class Streamed:
        shape = (1, 8, 8)

        def __len__(self):
            return 120

        def batches(self, batch_size, *, seed=None):
            return rows().batches(batch_size, seed=seed)

    found = made(data=Streamed())
    assert found.people.fingerprints == made().people.fingerprints
    assert torch.equal(found.people.rows, made().people.rows)
    # Other batches, so not the same network, but no less one that never saw them.
    assert torch.allclose(found.people.all_loss[:, 10], made().people.all_loss[:, 10], atol=0.5)


def test_what_cannot_be_dealt_into_folds_is_refused():
    with pytest.raises(DataError, match="of 1 people"):
        made(["a"] * 120)
    with pytest.raises(DataError, match="of 4 people"):
        made(SUBJECTS[:100])
    with pytest.raises(ValueError, match="one fold"):
        TrainingSettings(network="lethe.models.networks:digits_cnn", unseen_folds=1)

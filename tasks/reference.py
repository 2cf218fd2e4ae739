"""The yardstick: the same recipe without the forget set."""

import json
from contextlib import closing

from prefect import task

from lethe.data.rows import TensorRows
from lethe.errors import ModelError
from lethe.models.training import TrainedNetwork, TrainingSettings, new_network, train
from tasks.policy import IN_MEMORY
from tasks.progress import progress
from tasks.record import Record


@task(**IN_MEMORY)
def retrain_reference(record: Record) -> TrainedNetwork:
    """Retrain the parent's network on the retained training rows.

    Raises:
        ModelError: if the parent does not say how it was trained, or no rows are retained.
    """
    recipe = record.parent.facts.training
    rows = record.forget.rows(
        split="train",
        part="retained",
        classes=record.classes,
        memory_budget=record.memory_budget,
    )
    if recipe is None or rows is None:
        raise ModelError(
            f"{record.parent.ref} cannot be retrained: "
            f"{'its training settings are not recorded' if rows else 'no rows are retained'}. "
            f"Nothing was registered. Leave --reference out."
        )
    settings = TrainingSettings.model_validate_json(json.dumps(recipe))
    seed, device = record.settings.seed, record.device
    network = new_network(settings, seed=seed, allowed=record.settings.models.factories)
    # The first step of a process pays for loading kernels; nobody's clock should.
    with closing(rows.batches(settings.batch_size)) as batches:
        batch = next(batches)
    once = settings.model_copy(update={"epochs": 1})
    train(network, TensorRows(batch.x, batch.y), once, device=device, seed=seed)
    with progress("Retraining to compare") as report:
        return train(network, rows, settings, device=device, seed=seed, progress=report)

"""The yardstick: the same recipe without the forget set."""

import json

from prefect import task

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
    with progress("Retraining to compare") as report:
        return train(
            new_network(
                settings,
                seed=record.settings.seed,
                allowed=record.settings.models.factories,
            ),
            rows,
            settings,
            device=record.device,
            seed=record.settings.seed,
            progress=report,
        )

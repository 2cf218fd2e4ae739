"""Retraining: the same recipe without the forget set, as a yardstick or as the last resort."""

import json
from contextlib import closing

from prefect import task
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import ModelError
from lethe.models.reference_cache import kept_or_made, reference_key
from lethe.models.training import TrainedNetwork, TrainingSettings, new_network, train
from lethe.unlearning.method import Edit, Instructions
from tasks.earlier import with_earlier
from tasks.policy import IN_MEMORY
from tasks.progress import progress
from tasks.record import Record
from tasks.retraining import check_can_retrain

REFERENCES = "references"  # under the state folder


@task(**IN_MEMORY)
def retrain_reference(record: Record) -> TrainedNetwork:
    """The parent's network retrained on what remains, to compare with; trained once and kept.

    Raises:
        ModelError: if the parent does not say how it was trained, or no rows are retained.
    """
    check_can_retrain(record.parent)
    settings = _recipe(record)
    remaining = with_earlier(record.settings, record.earlier, record.forget)
    key = reference_key(
        settings,
        seed=record.settings.seed,
        dvc_md5=remaining.dvc_md5,
        left_out=remaining.set_digest,
        classes=record.classes,
    )
    return kept_or_made(
        record.settings.state / REFERENCES,
        key,
        _network(record, settings),
        lambda: _retrain(record, "Retraining to compare"),
    )


def wants_reference(record: Record) -> bool:
    """Whether the settings ask for a reference, and the parent and the data allow for one."""
    return (
        record.settings.evaluation.reference
        and record.parent.facts.training is not None
        and not record.forget.spec.whole
        and record.earlier.can_be_left_out(record.forget.spec)
    )


@task(**IN_MEMORY)
def rebuild(record: Record) -> tuple[Instructions, Edit]:
    """Retrain the parent's network on what remains, as the successor.

    Raises:
        ModelError: as `retrain_reference` does.
    """
    trained = _retrain(record, "Retraining")
    edit = Edit(
        model=trained.model.cpu().eval(),
        curves=trained.curves,
        epochs=len(trained.curves["loss"]),
        seconds=trained.seconds,
        stopped="rebuilt",
    )
    return Instructions({}), edit


def _retrain(record: Record, words: str) -> TrainedNetwork:
    check_can_retrain(record.parent)
    remaining = with_earlier(record.settings, record.earlier, record.forget)
    rows = remaining.rows(
        split="train",
        part="retained",
        classes=record.classes,
        memory_budget=record.memory_budget,
    )
    if rows is None:
        raise ModelError(
            f"{record.parent.ref} cannot be retrained: no rows are retained. Nothing was "
            f"registered. Leave retraining out."
        )
    settings = _recipe(record)
    seed, device = record.settings.seed, record.device
    network = _network(record, settings)
    # The first step of a process pays for loading kernels; nobody's clock should.
    with closing(rows.batches(settings.batch_size)) as batches:
        batch = next(batches)
    once = settings.model_copy(update={"epochs": 1})
    train(network, TensorRows(batch.x, batch.y), once, device=device, seed=seed)
    with progress(words) as report:
        return train(network, rows, settings, device=device, seed=seed, progress=report)


def _recipe(record: Record) -> TrainingSettings:
    return TrainingSettings.model_validate_json(json.dumps(record.parent.facts.training))


def _network(record: Record, settings: TrainingSettings) -> nn.Module:
    allowed = record.settings.models.factories
    return new_network(settings, seed=record.settings.seed, allowed=allowed)

"""Train a network on a data set's training rows and register it as a model's version."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from prefect import task
from pydantic import ValidationError

from lethe.data.dataset import DatasetRows, dataset_rows
from lethe.data.errors import MissingDatasetError
from lethe.data.listing import check_committed
from lethe.errors import SettingsError
from lethe.evaluation.predictions import predict
from lethe.models.device import pick_device
from lethe.models.training import TrainedNetwork, TrainingSettings, new_network
from lethe.models.training import train as train_network
from lethe.settings import Settings
from model_registry import tags
from model_registry.connection import connect, experiment_id
from model_registry.lineage import DatasetUse, log_dataset_uses, version_with_tag
from model_registry.pull import LetheMetadata
from model_registry.register import default_packaging, register_version, weights_digest
from model_registry.run import log_curves, log_metrics, log_params
from model_registry.version import check_model_name
from tasks.card import MadeCard, card_of
from tasks.device import device_slot
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY
from tasks.progress import progress
from tasks.record import MIB
from tasks.results import TrainResult

if TYPE_CHECKING:
    from model_registry.version import VersionRef

PARAMS_FILE = Path("params.yaml")
ACCURACY = "held_out/accuracy"
SECONDS = f"{tags.SECONDS}training"
CARD_SECONDS = f"{tags.SECONDS}card"
CROSS_FITTING_SECONDS = f"{tags.SECONDS}cross_fitting"
# One example alone would fix the batch size of the logged graph.
EXAMPLE_ROWS = 2


@dataclass(frozen=True)
class TrainingData:
    """The two splits of a data set at one commit."""

    name: str
    train: DatasetRows
    held_out: DatasetRows | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels in the order of the network's outputs."""
        return self.train.info.classes


@task(**IN_MEMORY)
def read_recipe(dataset: str) -> TrainingSettings:
    """The training settings of a data set in params.yaml.

    Raises:
        SettingsError: if there are none, or they are wrong.
    """
    try:
        params = yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))["train"][dataset]
        return TrainingSettings.model_validate_json(json.dumps(params))
    except (FileNotFoundError, KeyError, TypeError) as error:
        raise SettingsError(
            f"params.yaml in this folder has no section train.{dataset}. Nothing was trained. "
            f"Add one; docs/data.md shows it."
        ) from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise SettingsError(
            f"The section train.{dataset} of params.yaml is wrong: {'; '.join(lines)}. Nothing "
            f"was trained. Correct it and try again."
        ) from error


@task(**SAFE_TO_RETRY)
def open_training_data(settings: Settings, dataset: str) -> TrainingData:
    """Both splits of data/<dataset> as committed in this repository."""
    budget = settings.data.memory_budget_mib * MIB
    path = f"data/{dataset}"
    train = dataset_rows(settings.data.repository, path, split="train", memory_budget=budget)
    check_committed(Path(settings.data.repository), path, train.dvc_md5)
    try:
        held_out = dataset_rows(settings.data.repository, path, split="test", memory_budget=budget)
    except MissingDatasetError:
        held_out = None  # a single file has no held-out rows
    return TrainingData(dataset, train, held_out)


@task(**SAFE_TO_RETRY)
def find_trained(
    settings: Settings, model: str, data: TrainingData, recipe: TrainingSettings
) -> TrainResult | None:
    """The version trained by the same recipe and seed on the same data, if there is one."""
    check_model_name(model)
    client = connect(settings)
    found = version_with_tag(client, model, tags.TRAINING_KEY, training_key(settings, data, recipe))
    if found is None:
        return None
    _give_alias(settings, found)
    run_id = client.get_model_version(found.name, str(found.number)).run_id
    metrics = client.get_run(run_id).data.metrics
    return TrainResult(
        version=str(found),
        reused=True,
        training_key=training_key(settings, data, recipe),
        accuracy=metrics.get(ACCURACY),
        seconds=metrics.get(SECONDS, 0.0),
        run_id=run_id,
    )


@task(**IN_MEMORY)
def fit(settings: Settings, data: TrainingData, recipe: TrainingSettings) -> TrainedNetwork:
    """Train from scratch."""
    device = pick_device(settings.device)
    with device_slot(device, settings.worker), progress(f"Training on {data.name}") as report:
        return train_network(
            new_network(recipe, seed=settings.seed, allowed=settings.models.factories),
            data.train.rows,
            recipe,
            device=device,
            seed=settings.seed,
            progress=report,
        )


@task(**IN_MEMORY)
def describe(
    settings: Settings, data: TrainingData, recipe: TrainingSettings, trained: TrainedNetwork
) -> MadeCard:
    """Make the training card: what may be known of the data when they are away."""
    return card_of(
        settings,
        trained.model,
        path=f"data/{data.name}",
        train=data.train,
        held_out=data.held_out,
        classes=data.classes,
        recipe=recipe,
    )


@task(**IN_MEMORY)
def register_trained(
    settings: Settings,
    model: str,
    data: TrainingData,
    recipe: TrainingSettings,
    trained: TrainedNetwork,
    *,
    card: MadeCard,
) -> TrainResult:
    """Measure on the held-out rows, log, register, and give the first version the alias."""
    client = connect(settings)
    accuracy = _accuracy(trained, data, pick_device(settings.device))
    run = client.create_run(
        experiment_id(client, settings),
        run_name=f"train {model}",
        tags={tags.ORIGIN: "trained", tags.DATASET: f"data/{data.name}"},
    )
    run_id: str = run.info.run_id
    log_params(client, run_id, {"seed": settings.seed, **recipe.model_dump(mode="json")})
    log_curves(client, run_id, {f"train/{k}": v for k, v in trained.curves.items()})
    metrics = {SECONDS: trained.seconds, CARD_SECONDS: card.seconds}
    if card.cross_fitting is not None:
        metrics[CROSS_FITTING_SECONDS] = card.cross_fitting
    log_metrics(client, run_id, metrics if accuracy is None else {**metrics, ACCURACY: accuracy})
    log_dataset_uses(client, run_id, list(_uses(data)), None)
    example = next(iter(data.train.rows.batches(EXAMPLE_ROWS))).x
    version = register_version(
        client,
        name=model,
        run_id=run_id,
        network=trained.model,
        facts=LetheMetadata(
            architecture=recipe.architecture,
            classes=data.classes,
            weights_sha256=weights_digest(trained.model),
            training=recipe.model_dump(mode="json"),
        ),
        packaging=default_packaging(trained.model, torch.zeros_like(example)),
        version_tags={
            tags.ORIGIN: "trained",
            tags.TRAINING_KEY: training_key(settings, data, recipe),
            tags.DATASET: f"data/{data.name}",
            tags.DVC_MD5: data.train.dvc_md5,
            tags.GIT_REV: data.train.git_rev,
        },
        card=card.card,
    )
    client.set_terminated(run_id)
    _describe(client, version, run, data, accuracy)
    _give_alias(settings, version)
    return TrainResult(
        version=str(version),
        reused=False,
        training_key=training_key(settings, data, recipe),
        accuracy=accuracy,
        seconds=trained.seconds,
        run_id=run_id,
    )


def training_key(settings: Settings, data: TrainingData, recipe: TrainingSettings) -> str:
    """SHA-256 over what decides the outcome of training: data, recipe and seed."""
    facts = {
        "data": data.train.dvc_md5,
        "recipe": recipe.model_dump(mode="json"),
        "seed": settings.seed,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _give_alias(settings: Settings, version: "VersionRef") -> None:
    """Give a model's alias to a trained version where no version has it."""
    client = connect(settings)
    if settings.models.alias not in client.get_registered_model(version.name).aliases:
        client.set_registered_model_alias(version.name, settings.models.alias, str(version.number))


def _accuracy(trained: TrainedNetwork, data: TrainingData, device: torch.device) -> float | None:
    if data.held_out is None:
        return None
    found = predict(trained.model, data.held_out.rows, device=device)
    return float((found.logits.argmax(1) == found.labels).float().mean())


def _uses(data: TrainingData) -> list[DatasetUse]:
    parts = {"training": data.train, "evaluation": data.held_out}
    return [
        DatasetUse(
            name=f"{data.name} ({context})",
            context=context,
            repository=part.repository,
            path=f"data/{data.name}",
            git_rev=part.git_rev,
            dvc_md5=part.dvc_md5,
            rows=len(part.rows),
        )
        for context, part in parts.items()
        if part is not None
    ]


def _describe(
    client: Any, version: "VersionRef", run: Any, data: TrainingData, accuracy: float | None
) -> None:
    shown = "not measured" if accuracy is None else f"{accuracy:.2%}"
    client.update_model_version(
        version.name,
        str(version.number),
        f"**Trained** on {data.train.info.title} ([run](#/experiments/{run.info.experiment_id}"
        f"/runs/{run.info.run_id})). Held-out accuracy: {shown}. "
        f"Data: `data/{data.name}` at `{data.train.git_rev[:12]}`, DVC md5 `{data.train.dvc_md5}`.",
    )

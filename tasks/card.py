"""The training card: made after training, handed on to a successor without what was forgotten."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from lethe.data.dataset import DatasetRows, EveryRow, dataset_rows
from lethe.data.digest import subject_fingerprint
from lethe.data.errors import MissingDatasetError
from lethe.data.repository import open_dataset
from lethe.data.rows import Rows
from lethe.data.selection import Selection
from lethe.data.subjects import subject_ids
from lethe.data.training_card import TrainingCard
from lethe.errors import ModelError
from lethe.keys import record_key
from lethe.models.card import CURVATURE_ROWS, About, make_card
from lethe.models.cross_fitting import CrossFitted, cross_fit
from lethe.models.device import pick_device
from lethe.models.training import TrainingSettings, recipe_of
from lethe.settings import Settings
from lethe.unlearning.method import Edit
from model_registry import tags
from model_registry.card import add_card, find_card
from model_registry.connection import connect
from model_registry.lineage import ancestry, forgotten_classes
from model_registry.pull import pull_version
from model_registry.register import weights_digest
from model_registry.version import VersionRef, find_version
from tasks.device import device_slot
from tasks.earlier import with_earlier
from tasks.people import fingerprints_of
from tasks.progress import progress
from tasks.record import MIB, Record
from tasks.retraining import NAME as RETRAIN

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class MadeCard:
    """A card and the wall time that it took, without that of networks trained for it alone.

    `cross_fitting` is theirs: None where there were none.
    """

    card: TrainingCard
    seconds: float
    cross_fitting: float | None = None


@dataclass(frozen=True)
class VersionCard:
    """The card of a registered version, and whether it was made just now."""

    ref: VersionRef
    card: TrainingCard
    made: bool


def card_of(
    settings: Settings,
    network: nn.Module,
    *,
    path: str,
    train: DatasetRows,
    held_out: DatasetRows | None,
    classes: Sequence[str],
    recipe: TrainingSettings,
) -> MadeCard:
    """The card of a network from both splits of its data set, which lies at `path`.

    Where the recipe asks for it, with people's losses by networks that never saw them.

    Raises:
        DataError, ModelError: as `lethe.models.card.make_card` does.
    """
    about = About(weights_digest(network), path, train.dvc_md5, train.git_rev)
    rows = None if held_out is None else held_out.rows
    unseen = None
    if recipe.unseen_folds:
        opened = open_dataset(train.repository, path, train.git_rev)
        subjects = subject_ids(opened, "train", EveryRow())
        unseen = _cross_fit(settings, train.rows, subjects, recipe, len(classes))
    return _make(settings, network, train.rows, rows, classes=classes, about=about, unseen=unseen)


def successor_card(record: Record, edit: Edit, weights: str) -> TrainingCard | None:
    """The card that a successor is registered with; None if its parent has none.

    An edited network gets its parent's without the classes that were forgotten: the retained rows
    were not at hand. One that was rebuilt from them gets its own.
    """
    gone = _whole_classes(record)
    if record.method.name == RETRAIN:
        return _without(_rebuilt(record, edit, weights), gone)
    card = record.parent.card()
    if card is None:
        return None
    card = _without(card, gone)
    if record.forget.kind == "class":
        return card
    return card.with_forgotten_rows(fingerprints_of(record, whole=False))


def version_card(
    settings: Settings, reference: str, dataset: str | None = None, rev: str = "HEAD"
) -> VersionCard:
    """The card of a version; made from a data set and added to it if it has none.

    Args:
        settings: where registry and data are.
        reference: NAME@ALIAS or NAME/NUMBER.
        dataset: what the version was trained on; None to make none.
        rev: git revision of the data.

    Raises:
        DataError: if the data cannot be read.
        ModelError: if it has none and none can be made, or has one of other data.
    """
    client = connect(settings)
    ref, record = find_version(client, reference)
    source = find_card(client, ref, record)
    if source is not None:
        card = source.load()
        if dataset not in {None, card.facts.dataset}:
            raise ModelError(
                f"{ref} has a training card already, made from {card.facts.dataset}. Nothing was "
                f"changed. Print it: `lethe model card {ref}`."
            )
        return VersionCard(ref, card, made=False)
    if dataset is None:
        raise ModelError(
            f"{ref} has no training card. Nothing was changed. Make one from the data that it was "
            f"trained on: `lethe model card {ref} --dataset data/NAME`."
        )
    _check_line(client, ref)
    if not record.run_id:
        raise ModelError(
            f"{ref} belongs to no run, which would keep its training card. Nothing was changed. "
            f"Adopt it first: `lethe model adopt {ref} --factory MODULE:CALLABLE`."
        )
    pulled = pull_version(client, str(ref), settings)
    gone = forgotten_classes(client, ref)
    classes = pulled.facts.classes or _split(settings, dataset, rev, "train", None).info.classes
    seen = ["" if name in gone else name for name in classes]  # their rows are skipped
    train = _split(settings, dataset, rev, "train", seen)
    _check_data(ref, record, dataset, train)
    try:
        held_out = _split(settings, dataset, rev, "test", seen).rows
    except MissingDatasetError:
        held_out = None
    about = About(pulled.facts.weights_sha256, dataset, train.dvc_md5, train.git_rev)
    recipe, unseen = recipe_of(pulled.facts.training), None
    if recipe is not None and recipe.unseen_folds:
        opened = open_dataset(settings.data.repository, dataset, train.git_rev)
        subjects = subject_ids(opened, "train", EveryRow())
        unseen = _cross_fit(settings, train.rows, subjects, recipe, len(classes))
    made = _make(
        settings,
        pulled.network,
        train.rows,
        held_out,
        classes=classes,
        about=about,
        unseen=unseen,
    )
    card = _without(made.card, gone)
    add_card(client, ref, record.run_id, card)
    return VersionCard(ref, card, made=True)


def _make(
    settings: Settings,
    network: nn.Module,
    train: Rows,
    held_out: Rows | None,
    *,
    classes: Sequence[str],
    about: About,
    unseen: CrossFitted | None = None,
) -> MadeCard:
    device = pick_device(settings.device)
    with device_slot(device, settings.worker), progress("Training card") as report:
        started = time.perf_counter()
        card = make_card(
            network,
            train,
            held_out,
            classes,
            device=device,
            seed=settings.seed,
            about=about,
            curvature_rows=CURVATURE_ROWS if unseen else 0,
            unseen=unseen,
            progress=report,
        )
        seconds = time.perf_counter() - started
        return MadeCard(card, seconds, None if unseen is None else unseen.seconds)


def _cross_fit(
    settings: Settings,
    rows: Rows,
    subjects: Sequence[str | None],
    recipe: TrainingSettings,
    classes: int,
) -> CrossFitted:
    """People's losses with networks that never saw them; people by keyed fingerprints."""
    key, device = record_key(settings.record_key_file), pick_device(settings.device)
    with device_slot(device, settings.worker), progress("Networks without some people") as report:
        return cross_fit(
            rows,
            subjects,
            recipe,
            classes=classes,
            device=device,
            seed=settings.seed,
            mark=lambda one: subject_fingerprint(key, one),
            allowed=settings.models.factories,
            progress=report,
        )


def _rebuilt(record: Record, edit: Edit, weights: str) -> TrainingCard:
    """Of a retrained network, from the rows that it was retrained on."""
    remaining = with_earlier(record.settings, record.earlier, record.forget)
    train, held_out = (
        remaining.rows(
            split=split,
            part="retained",
            classes=record.classes,
            memory_budget=record.memory_budget,
        )
        for split in ("train", "test")
    )
    if train is None:
        raise ModelError(
            f"{record.parent.ref} was retrained without rows. Nothing was registered. Select less."
        )
    forget = record.forget
    about = About(weights, forget.spec.dataset, forget.dvc_md5, forget.git_rev)
    recipe, unseen = recipe_of(record.parent.facts.training), None
    if recipe is not None and recipe.unseen_folds:
        subjects = remaining.subject_ids("retained")
        unseen = _cross_fit(record.settings, train, subjects, recipe, len(record.classes))
    return _make(
        record.settings,
        edit.model,
        train,
        held_out,
        classes=record.classes,
        about=about,
        unseen=unseen,
    ).card


def _whole_classes(record: Record) -> tuple[str, ...]:
    """Classes that are forgotten whole, now or earlier; not those of which some rows are."""
    selection = record.forget.spec.selection
    parts = [selection] if isinstance(selection, Selection) else getattr(selection, "parts", ())
    now = [name for part in parts if part.kind == "class" for name in part.classes or ()]
    return tuple(dict.fromkeys([*now, *record.earlier.classes]))


def _without(card: TrainingCard, classes: Sequence[str]) -> TrainingCard:
    return card.without([name for name in classes if name in card.classes])


def _split(
    settings: Settings, dataset: str, rev: str, split: Any, classes: Sequence[str] | None
) -> DatasetRows:
    budget = settings.data.memory_budget_mib * MIB
    repository = settings.data.repository
    return dataset_rows(
        repository, dataset, rev, split=split, classes=classes, memory_budget=budget
    )


def _check_line(client: "MlflowClient", ref: VersionRef) -> None:
    """Refuse a version whose line forgot rows that are still in its data set."""
    for record in ancestry(client, ref):
        if record.tags.get(tags.FORGET_KIND, "class") != "class":
            raise ModelError(
                f"{ref} or a version before it forgot people or single rows, which a card made "
                f"from the data set would describe again. Nothing was changed. Train a new model "
                f"without them: `lethe train NAME`."
            )


def _check_data(ref: VersionRef, record: Any, dataset: str, train: DatasetRows) -> None:
    """Refuse another state of the data set than the version's record names."""
    known = record.tags.get(tags.DVC_MD5)
    if record.tags.get(tags.DATASET) == dataset and known not in {None, train.dvc_md5}:
        raise ModelError(
            f"{dataset} is not the data that {ref} was trained on: its DVC md5 is {train.dvc_md5}, "
            f"recorded is {known}. Nothing was changed. Name the commit: "
            f"`lethe model card {ref} --dataset {dataset} --rev {record.tags.get(tags.GIT_REV)}`."
        )

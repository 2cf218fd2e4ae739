"""What a worker does: train a network, or measure a cell; each once, and kept on disk.

    train_once(network_job)           # seconds, whether it was there already
    row, kept = cell_once(cell_job)

Both are plain functions of frozen jobs, for any process. What they make lies under one folder, in
`networks/` and `cells/`, by a key over everything that decides it: the data's DVC md5, the rows
that were taken, recipe, seed, request, method with all its settings, thresholds, device, PyTorch,
and the source of the code. Files are renamed when whole, so a process may be killed at any time;
one that cannot be read is made anew. Prefect's own store of results writes in place, which a kill
can leave half done.
"""

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from lethe.data.rows import Rows
from lethe.data.training_card import TrainingCard
from lethe.evaluation.comparison.row import RETRAIN, Row
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.results import Part
from lethe.models.card import CURVATURE_ROWS, About, make_card
from lethe.models.cross_fitting import cross_fit
from lethe.models.reference_cache import kept_or_made
from lethe.models.training import TrainedNetwork, TrainingSettings, new_network, train
from tasks.benchmark.cell import Case, Reference, Way, find_method, measure, warm_up
from tasks.benchmark.rows import Splits, Target, person_name, read_splits
from tasks.benchmark.sources import source_digest

CPU_SECONDS = "cpu_seconds"  # kept among a network's curves, as a curve of one value
AGAIN = 1000  # what the seed of the second retraining is above the first
FRESH = 2000


@dataclass(frozen=True)
class Source:
    """A data set, how to train on it (`TrainingSettings` as JSON), and where things are kept."""

    repository: str
    data: str
    dvc_md5: str
    recipe_json: str
    folder: Path
    rows_per_class: int = 0
    subjects: bool = False
    device: str = "cpu"
    factories: tuple[str, ...] = ("lethe.models.networks",)

    @property
    def recipe(self) -> TrainingSettings:
        """How to train on it."""
        return TrainingSettings.model_validate_json(self.recipe_json)

    def splits(self) -> Splits:
        """Its rows; the data must be what they were when the job was made."""
        found = read_splits(self.repository, self.data, self.rows_per_class, self.subjects)
        if found.dvc_md5 != self.dvc_md5:
            raise RuntimeError(f"{self.data} changed while it was measured")
        return found

    def facts(self) -> dict[str, Any]:
        """What of it decides a result."""
        return {
            "data": self.data,
            "dvc_md5": self.dvc_md5,
            "rows_per_class": self.rows_per_class,
            "recipe": self.recipe.model_dump(mode="json"),
            "device": self.device,
            "torch": torch.__version__,
        }


@dataclass(frozen=True)
class NetworkJob:
    """Train the original (`without` is None) or retrain it without a request's rows."""

    source: Source
    seed: int
    without: Target | None = None

    @property
    def key(self) -> str:
        """Digest of everything that decides the network."""
        left_out = None if self.without is None else asdict(self.without)
        code = source_digest("lethe.models.training", self.source.recipe.network.partition(":")[0])
        return _digest(
            {**self.source.facts(), "seed": self.seed, "without": left_out, "code": code}
        )


@dataclass(frozen=True)
class CellJob:
    """Measure one way on one request with one seed."""

    source: Source
    seed: int
    target: Target
    way: Way
    thresholds: GateThresholds = field(default_factory=GateThresholds)
    feature_level: bool = True

    @property
    def key(self) -> str:
        """Digest of everything that decides the row, but for its seconds."""
        modules = ["lethe.evaluation.output_level", "tasks.benchmark.cell", "lethe.models.training"]
        options: Any = {}
        if self.way.method != RETRAIN:
            method = find_method(self.way.method, self.way.options)
            options = method.model_dump(mode="json")
            modules.append(type(method).__module__)
            if method.needs == "stored_statistics":  # the card is made by the case, not the method
                modules += ["lethe.models.card", "lethe.models.cross_fitting"]
        return _digest(
            {
                **self.source.facts(),
                "seed": self.seed,
                "target": asdict(self.target),
                "way": {**asdict(self.way), "resolved": options},
                "thresholds": self.thresholds.model_dump(mode="json"),
                "feature_level": self.feature_level,
                "code": source_digest(*modules),
            }
        )

    @property
    def path(self) -> Path:
        """Where its row is kept."""
        return self.source.folder / "cells" / f"{self.key}.json"


def train_once(job: NetworkJob) -> TrainedNetwork:
    """The network, trained now or kept from before, with what training took."""
    source = job.source
    network = new_network(source.recipe, seed=job.seed, allowed=source.factories)

    def make() -> TrainedNetwork:
        splits, device = source.splits(), torch.device(source.device)
        rows: Rows = splits.train
        if job.without is not None:
            rows = splits.parts(job.without)[Part.RETAINED_TRAIN]
        warm_up(network, rows, device)
        started = time.process_time()
        trained = train(network, rows, source.recipe, device=device, seed=job.seed)
        spent = [time.process_time() - started]
        return replace(trained, curves={**trained.curves, CPU_SECONDS: spent})

    return kept_or_made(source.folder / "networks", job.key, network, make)


def train_and_tell(job: NetworkJob) -> tuple[float, bool]:
    """Seconds of training, and whether it was done before: what a task hands on."""
    found = train_once(job)
    return found.seconds, found.kept


def cell_once(job: CellJob) -> tuple[Row, bool]:
    """The row, measured now or kept from before, and whether it was kept."""
    path = job.path
    kept = read_cell(path)
    if kept is not None:
        return kept, True
    case = _case(job.source, job.seed, job.target)
    row = measure(case, job.way, job.thresholds, feature_level=job.feature_level)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(asdict(row)), encoding="utf-8")
    partial.replace(path)
    return row, False


def read_cell(path: Path) -> Row | None:
    """A row that was kept; None when there is none that can be read."""
    try:
        return Row(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=2)
def _case(source: Source, seed: int, target: Target) -> Case:
    """What the methods of one request share; their cells come one after another."""
    splits = source.splits()
    original = train_once(NetworkJob(source, seed)).model
    return Case(
        data=source.data,
        kind=target.kind,
        target=target.name,
        forgotten=target.forgotten,
        seed=seed,
        classes=splits.classes,
        parts=splits.parts(target),
        original=original,
        retrained=_reference(NetworkJob(source, seed, target)),
        retrained_again=lambda: _reference(NetworkJob(source, seed + AGAIN, target)),
        fresh=new_network(source.recipe, seed=seed + FRESH, allowed=source.factories).eval(),
        card=lambda: _card(source, seed),
        device=torch.device(source.device),
    )


def _reference(job: NetworkJob) -> Reference:
    found = train_once(job)
    return Reference(found.model, found.seconds, found.curves[CPU_SECONDS][0])


@lru_cache(maxsize=1)
def _card(source: Source, seed: int) -> TrainingCard:
    splits = source.splits()
    # The card stays here, so it needs no digest of weights that nobody registered.
    about = About("0" * 64, f"data/{source.data}", source.dvc_md5, "HEAD")
    device, unseen = torch.device(source.device), None
    if splits.people and source.recipe.unseen_folds:
        unseen = cross_fit(
            splits.train,
            [None if one < 0 else f"{one:09d}" for one in splits.people[0].tolist()],
            source.recipe,
            classes=len(splits.classes),
            device=device,
            seed=seed,
            mark=lambda one: person_name(int(one)),
            allowed=source.factories,
        )
    return make_card(
        train_once(NetworkJob(source, seed)).model,
        splits.train,
        splits.held_out,
        splits.classes,
        device=device,
        seed=seed,
        about=about,
        curvature_rows=CURVATURE_ROWS if unseen else 0,
        unseen=unseen,
    )


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

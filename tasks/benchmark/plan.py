"""What is to be compared, and the jobs that follow; everything wrong is refused here.

layout = lay_out(settings, plan, "digits")      # reads the data set, computes nothing
layout.networks, layout.cells
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lethe.data.prepare import KNOWN, ensure_prepared
from lethe.errors import MethodError, SettingsError
from lethe.evaluation.comparison.row import RETRAIN
from lethe.models.device import pick_device
from lethe.settings import Settings
from lethe.unlearning.method import ForgetKind, check_can_forget, load_method, method_names

if TYPE_CHECKING:
    from lethe.models.training import TrainingSettings
    from tasks.benchmark.jobs import CellJob, NetworkJob, Source
    from tasks.benchmark.rows import Splits, Target

FOLDER = "benchmark"  # under the state folder


class Plan(BaseModel):
    """Data sets, methods, seeds and requests. `None` for methods, classes or people means all.

    `people` are positions among a data set's sorted ids. `options` are settings of single methods
    over their own ones, `recipe` is what networks are trained by over params.yaml.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: tuple[str, ...] = Field(min_length=1)
    methods: tuple[str, ...] | None = None
    options: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    recipe: Mapping[str, Any] = Field(default_factory=dict)
    seeds: int = Field(default=3, ge=1)
    kind: ForgetKind = "class"
    classes: tuple[str, ...] | None = None
    people: tuple[int, ...] | None = None
    budget: int = Field(default=0, ge=0)
    rows_per_class: int = Field(default=0, ge=0)
    feature_level: bool = True

    @property
    def chosen(self) -> tuple[str, ...]:
        """The methods, retraining first; by default all that can forget this kind of request."""
        if self.methods is not None:
            return tuple(dict.fromkeys(self.methods))
        able = [name for name in method_names() if self.kind in load_method(name).forgets]
        return (RETRAIN, *able)


@dataclass(frozen=True)
class Layout:
    """The jobs of one data set. All networks must be there before the cells are measured."""

    source: "Source"
    splits: "Splits"
    targets: "tuple[Target, ...]"
    networks: "tuple[NetworkJob, ...]"
    cells: "tuple[CellJob, ...]"


def check_plan(plan: Plan) -> None:
    """Refuse methods that are not there or cannot do what is asked, before any data are read.

    Raises:
        MethodError: if a method is not installed, cannot forget this kind, or refuses its options.
        SettingsError: if the budget is one trial, or options are for a method that does not run.
    """
    if plan.budget == 1:
        raise SettingsError(
            "A search of one trial has nothing to choose from. Nothing was measured. Give --budget "
            "0 for the methods' own settings, or 2 at least."
        )
    for name in plan.chosen:
        if name != RETRAIN:
            check_can_forget(load_method(name, plan.options.get(name)), plan.kind)
    stray = sorted(set(plan.options) - set(plan.chosen))
    if stray:
        raise SettingsError(
            f"Options are given for {', '.join(stray)}, which is not compared. Nothing was "
            f"measured. Add it to --methods."
        )
    if not plan.chosen:
        raise MethodError("No method was named. Nothing was measured. Give --methods.")


def lay_out(settings: Settings, plan: Plan, data: str) -> Layout:
    """Read a data set, made first if it ships with the project, and list its jobs.

    Raises:
        DataError: if it cannot be made or read, or lacks a class or person.
        SettingsError: if params.yaml has no recipe for it, or the plan's changes do not fit it.
    """
    from tasks.benchmark.jobs import Source
    from tasks.benchmark.rows import class_targets, read_splits, subject_targets
    from tasks.train import read_recipe

    recipe = changed_recipe(read_recipe.fn(data), plan.recipe)
    if data in KNOWN:
        ensure_prepared(data, root=Path.cwd(), home=settings.state, mirror=settings.data.mirror)
    subjects = plan.kind == "subject"
    splits = read_splits(settings.data.repository, data, plan.rows_per_class, subjects)
    targets = (
        subject_targets(splits, plan.people) if subjects else class_targets(splits, plan.classes)
    )
    source = Source(
        repository=settings.data.repository,
        data=data,
        dvc_md5=splits.dvc_md5,
        recipe_json=recipe.model_dump_json(),
        folder=settings.state / FOLDER,
        rows_per_class=plan.rows_per_class,
        subjects=subjects,
        device=pick_device(settings.device).type,
        factories=settings.models.factories,
    )
    networks = tuple(_networks(plan, source, targets))
    cells = tuple(_cells(settings, plan, source, targets))
    return Layout(source, splits, tuple(targets), networks, cells)


def changed_recipe(recipe: "TrainingSettings", changes: Mapping[str, Any]) -> "TrainingSettings":
    """A recipe with some of its settings replaced.

    Raises:
        SettingsError: if there is no such setting, or it does not take the value.
    """
    try:
        return type(recipe).model_validate({**recipe.model_dump(), **changes})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        known = ", ".join(type(recipe).model_fields)
        raise SettingsError(
            f"The recipe cannot be changed so: {'; '.join(lines)}. Nothing was measured. Its "
            f"settings are {known}."
        ) from error


def _networks(plan: Plan, source: "Source", targets: "list[Target]") -> "Iterator[NetworkJob]":
    from tasks.benchmark.jobs import AGAIN, NetworkJob

    for seed in range(plan.seeds):
        yield NetworkJob(source, seed)
        for target in targets:
            yield NetworkJob(source, seed, target)
            if RETRAIN in plan.chosen:
                yield NetworkJob(source, seed + AGAIN, target)


def _cells(
    settings: Settings, plan: Plan, source: "Source", targets: "list[Target]"
) -> "Iterator[CellJob]":
    """Cells of one request come one after another: they share its networks in a worker."""
    from tasks.benchmark.cell import Way
    from tasks.benchmark.jobs import CellJob

    for seed in range(plan.seeds):
        for target in targets:
            for name in plan.chosen:
                way = Way(name, plan.options.get(name, {}), plan.budget)
                yield CellJob(
                    source, seed, target, way, settings.gates, feature_level=plan.feature_level
                )

"""One cell: a method on one request, against the network retrained without it.

    row = measure(case, Way("pte"), GateThresholds())

A plain function over networks and rows: it knows neither Prefect nor MLflow, files nor data sets,
and needs torch, numpy, pydantic, scikit-learn and safetensors alone, so that it also runs where
nothing else is installed.
"""

import copy
import json
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lethe.data.rows import Rows
from lethe.data.training_card import TrainingCard
from lethe.errors import LetheError
from lethe.evaluation.comparison.row import RETRAIN, Row, figures
from lethe.evaluation.feature_level.measure import measure_features
from lethe.evaluation.feature_level.readings import Network
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.results import Evaluation, Part
from lethe.evaluation.verdict import Decision, decide
from lethe.patching.network import Patched
from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetKind,
    ForgetTarget,
    Method,
    load_method,
    method_names,
)

WARM_UP_ROWS = 64


@dataclass(frozen=True)
class Way:
    """A method, options over its defaults, and how many trials a search of the others may make."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: int = 0


@dataclass(frozen=True)
class Reference:
    """A network retrained without the request's rows, and what that took, in seconds."""

    model: nn.Module
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Case:
    """A request of a data set with one seed: what all methods are given alike.

    Attributes:
        data: name of the data set.
        kind: `class` or `subject`.
        target: name of what is forgotten.
        forgotten: its index for a class; nothing for a person.
        seed: of everything.
        classes: names in the order of the logits.
        parts: the rows, forget and retained, of both splits.
        original: the network that is to forget, on the CPU.
        retrained: the reference.
        retrained_again: gives one of another seed, which the method `retrain` stands for.
        fresh: an untrained network of the same form.
        card: makes the original's training card, for methods that need one.
        device: where to compute.
        known: what was read of these networks' hidden layers; filled as it is needed.
    """

    data: str
    kind: ForgetKind
    target: str
    forgotten: tuple[int, ...]
    seed: int
    classes: tuple[str, ...]
    parts: Mapping[Part, Rows]
    original: nn.Module
    retrained: Reference
    retrained_again: Callable[[], Reference] | None = None
    fresh: nn.Module | None = None
    card: Callable[[], TrainingCard] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    known: MutableMapping[Any, Any] = field(default_factory=dict)


def measure(case: Case, way: Way, thresholds: GateThresholds, *, feature_level: bool = True) -> Row:
    """Search if asked, edit, evaluate, judge.

    What a method says that it cannot do is a result, and stands in `failed`; any other error is
    raised.
    """
    facts: dict[str, Any] = {
        "data": case.data,
        "target_kind": case.kind,
        "target": case.target,
        "seed": case.seed,
        "method": way.method,
        "budget": way.budget,
        "trials": 0,
        "search_seconds": 0.0,
        "device": device_name(case.device),
    }
    if way.method == RETRAIN:
        return _retrained(case, facts, thresholds, feature_level=feature_level)
    method = find_method(way.method, way.options)
    facts |= {"needs": method.needs, "options": _options(method)}
    target = _target(case, method)
    try:
        context = _context(case, method)
        method, facts = _searched(case, way, method, target=target, context=context, facts=facts)
        edit, seconds, cpu_seconds = _edited(case, method, target, context)
    except LetheError as error:
        return Row(**facts, failed=" ".join(str(error).split())[:500])
    evaluation = _evaluated(case, edit.model, feature_level=feature_level)
    decision = decide(evaluation, thresholds)
    return Row(
        **facts,
        **figures(evaluation),
        **_costs(seconds, cpu_seconds, case.retrained),
        **_judged(decision),
        epochs=edit.epochs,
        stopped=edit.stopped,
    )


def find_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """The installed method; where nothing is installed, the one of Lethe's own module.

    Raises:
        MethodError: if there is none, or it does not accept the options.
    """
    if method_names():
        return load_method(name, options)
    module = import_module(f"lethe.unlearning.{name}")
    (found,) = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__ and _is(one, name)
    ]
    made: Method = found(**dict(options or {}))
    return made


def device_name(device: torch.device) -> str:
    """What the accelerator is called; `cpu` for the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def clock(device: torch.device) -> float:
    """Seconds of a clock, once the accelerator has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def warm_up(model: nn.Module, rows: Rows, device: torch.device) -> None:
    """One step on a copy: the first use of an operator in a process is slow."""
    network = copy.deepcopy(model).to(device)
    with closing(rows.batches(WARM_UP_ROWS)) as batches:
        batch = next(batches)
    logits = network(batch.x.to(device))
    torch.autograd.backward(F.cross_entropy(logits, logits.argmax(1)))


def _is(one: Any, name: str) -> bool:
    return getattr(one, "name", None) == name and hasattr(one, "forgets")


def _options(method: Method) -> str:
    return json.dumps(method.model_dump(mode="json"), sort_keys=True)


def _target(case: Case, method: Method) -> ForgetTarget:
    retained = case.parts[Part.RETAINED_TRAIN] if method.needs == "retain" else None
    marks = (case.target,) if case.kind == "subject" else ()
    return ForgetTarget(case.parts[Part.FORGET_TRAIN], case.kind, case.forgotten, retained, marks)


def _context(case: Case, method: Method) -> Context:
    needed = method.needs == "stored_statistics" and case.card is not None
    card = case.card() if needed and case.card is not None else None
    return Context(device=case.device, seed=case.seed, card=card)


def _searched(
    case: Case,
    way: Way,
    method: Method,
    *,
    target: ForgetTarget,
    context: Context,
    facts: dict[str, Any],
) -> tuple[Method, dict[str, Any]]:
    """The method with the best options of so many trials, and what looking for them took."""
    if way.budget < 2:
        return method, facts
    from lethe.unlearning.search import search

    found = search(way.method, case.original, target, context, budget=way.budget, base=way.options)
    chosen = find_method(way.method, found.options)
    more = {"trials": len(found.trials), "search_seconds": found.seconds}
    return chosen, {**facts, "options": _options(chosen), **more}


def _edited(
    case: Case, method: Method, target: ForgetTarget, context: Context
) -> tuple[Edit, float, float]:
    """Both phases, with wall and processor seconds."""
    warm_up(case.original, target.rows, case.device)
    started, cpu_started = clock(case.device), time.process_time()
    instructions = method.probe(case.original, target, context)
    edit = method.edit(case.original, target, instructions, context)
    return edit, clock(case.device) - started, time.process_time() - cpu_started


def _retrained(
    case: Case, facts: dict[str, Any], thresholds: GateThresholds, *, feature_level: bool
) -> Row:
    """Retraining itself, by a network of another seed than the reference."""
    facts |= {"needs": "retain", "options": "{}"}
    if case.retrained_again is None:
        return Row(**facts, failed="No second network was retrained.")
    found = case.retrained_again()
    evaluation = _evaluated(case, found.model, feature_level=feature_level)
    decision = decide(evaluation, thresholds, retrained=True)
    return Row(
        **facts,
        **figures(evaluation),
        **_costs(found.seconds, found.cpu_seconds, case.retrained),
        **_judged(decision),
    )


def _evaluated(case: Case, successor: nn.Module, *, feature_level: bool) -> Evaluation:
    evaluation = evaluate(
        case.original,
        successor,
        case.parts,
        classes=case.classes,
        forgotten=case.forgotten,
        device=case.device,
        reference=case.retrained.model,
        seed=case.seed,
    )
    if isinstance(successor, Patched):  # its hidden layers are those of the network below
        return evaluation.model_copy(update={"patched": True})
    if not feature_level:
        return evaluation
    means = case.card().known_means() if case.card is not None and case.forgotten else None
    networks: dict[Network, nn.Module] = {"original": case.original, "successor": successor}
    if case.fresh is not None:
        networks["fresh"] = case.fresh
    networks["retrained"] = case.retrained.model
    found = measure_features(
        networks,
        case.parts,
        forgotten=case.forgotten,
        device=case.device,
        means=means,
        seed=case.seed,
        known=case.known,
    )
    level = "output" if found is None else "feature"
    return evaluation.model_copy(update={"features": found, "level": level})


def _judged(decision: Decision) -> dict[str, Any]:
    gates = [gate.name for gate in decision.gates if gate.passed is False]
    return {
        "verdict": decision.verdict.value,
        "rule": decision.rule,
        "failed_gates": ",".join(gates),
    }


def _costs(seconds: float, cpu_seconds: float, reference: Reference) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "retrain_seconds": reference.seconds,
        "retrain_cpu_seconds": reference.cpu_seconds,
        "time_ratio": seconds / reference.seconds,
        "cpu_ratio": cpu_seconds / reference.cpu_seconds,
    }

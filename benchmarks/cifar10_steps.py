"""The steps of `benchmarks/cifar10.py`: train, edit and evaluate, each timed.

Whatever reads the clock waits for the accelerator first.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from cifar10_data import CLASSES, Pictures
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.evaluation.feature_level.measure import measure_features
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.results import Part
from lethe.evaluation.verdict import decide
from lethe.models.training import TrainingSettings, new_network, train
from lethe.unlearning.method import Context, ForgetTarget, Method


class TimeIsUpError(Exception):
    """A step took longer than it was given."""


@dataclass
class Run:
    """What is measured with, and where results go."""

    device: torch.device
    train: Pictures
    held_out: Pictures
    recipe: TrainingSettings
    bfloat16: bool
    seconds: float
    method_seconds: float
    options: Mapping[str, Any]
    out: Path | None
    started: float = field(default_factory=time.perf_counter)
    result: dict[str, Any] = field(default_factory=dict)
    longest_evaluation: float = 0.0

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self.seconds - (time.perf_counter() - self.started)

    def clock(self) -> float:
        """Seconds of a clock, once the accelerator has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def peak(self) -> int | None:
        """Most bytes of the accelerator's memory that were in use since this was last asked."""
        if self.device.type != "cuda":
            return None
        most = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return most

    def fits(self, what: str, needed: float) -> bool:
        """Whether a step fits into the time that is left; else it is named in the result."""
        if needed <= self.left:
            return True
        self.result["left_out"].append(f"{what}: {needed:.0f} s needed, {self.left:.0f} s left")
        return False

    def write(self, said: str) -> None:
        """Say something and write everything so far."""
        print(f"{time.perf_counter() - self.started:6.1f} s  {said}", flush=True)
        self.result["seconds"] = round(time.perf_counter() - self.started, 1)
        if self.out is not None:
            partial = self.out.with_suffix(".partial")
            partial.write_text(json.dumps(self.result, indent=1) + "\n", encoding="utf-8")
            partial.replace(self.out)


@dataclass
class Class:
    """One class of one seed: its networks and rows."""

    seed: int
    gone: int
    original: nn.Module
    retrained: nn.Module
    retrain_seconds: float
    parts: Mapping[Part, Rows]
    before: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Class and seed."""
        return f"{CLASSES[self.gone]}, seed {self.seed}"


def trained(
    run: Run,
    rows: Pictures,
    seed: int,
    *,
    recipe: TrainingSettings | None = None,
    bfloat16: bool | None = None,
) -> tuple[nn.Module, float]:
    """A network trained by the recipe and the seconds that it took."""
    recipe = recipe or run.recipe
    fast = run.bfloat16 if bfloat16 is None else bfloat16
    network = new_network(recipe, seed=seed)
    if fast:
        network = network.to(memory_format=torch.channels_last)
    started = run.clock()
    # Without its cache: that would keep the first weights for as long as the block lasts.
    half = torch.autocast(run.device.type, torch.bfloat16, cache_enabled=False)
    with half if fast else nullcontext():
        found = train(network, rows, recipe, device=run.device, seed=seed)
    seconds = run.clock() - started
    return found.model.to(memory_format=torch.contiguous_format), round(seconds, 3)


def key(one: Class, method: str) -> dict[str, Any]:
    """What names a row of the result."""
    return {"class": CLASSES[one.gone], "seed": one.seed, "method": method}


def share(right: Tensor) -> float:
    """Share of true values."""
    return round(right.float().mean().item(), 5)


def accuracies(run: Run, model: nn.Module, gone: int | None) -> dict[str, Any]:
    """Accuracy on both splits, by class and, where one is gone, apart for it and the others."""
    found: dict[str, Any] = {}
    model = model.to(run.device).eval()
    for split, rows in (("train", run.train), ("held_out", run.held_out)):
        with torch.no_grad():
            right = torch.cat([model(b.x).argmax(1) == b.y for b in rows.batches(2000)])
        found[split] = share(right)
        if gone is not None:
            found[f"forget_{split}"] = share(right[rows.y == gone])
            found[f"retained_{split}"] = share(right[rows.y != gone])
        if split == "held_out":
            found["per_class"] = {n: share(right[rows.y == i]) for i, n in enumerate(CLASSES)}
    model.cpu()
    return found


def attempt(
    run: Run, one: Class, name: str, make: Callable[[], Method]
) -> tuple[dict[str, Any], nn.Module] | None:
    """Probe and edit by one method, timed; what it raises is recorded."""
    row = key(one, name)
    target = ForgetTarget(one.parts[Part.FORGET_TRAIN], "class", (one.gone,))
    ends = 0.0

    def progress(_done: int, _total: int) -> None:
        if time.perf_counter() > ends:
            raise TimeIsUpError

    context = Context(device=run.device, seed=one.seed, progress=progress)
    run.peak()
    started = run.clock()
    try:
        method = make()
        ends = started + run.method_seconds
        instructions = method.probe(one.original, target, context)
        probed = run.clock()
        ends = probed + run.method_seconds
        edit = method.edit(one.original, target, instructions, context)
    except Exception as error:  # noqa: BLE001 (one broken method must not end the measurement)
        row |= {"failed": repr(error), "seconds_until": round(run.clock() - started, 3)}
        run.result["edits"].append(row)
        run.write(f"  {name}: {error!r} after {row['seconds_until']} s")
        return None
    seconds = run.clock() - started
    row["peak_bytes"] = run.peak()
    after = accuracies(run, edit.model, one.gone)
    losses = {
        label: round(was - after["per_class"][label], 4)
        for label, was in one.before["per_class"].items()
        if label != CLASSES[one.gone]
    }
    worst = max(losses, key=lambda label: losses[label])
    row |= {
        "options": method.model_dump(mode="json"),
        "seconds": round(seconds, 3),
        "probe_seconds": round(probed - started, 3),
        "time_share": round(seconds / one.retrain_seconds, 4),
        "epochs": edit.epochs,
        "stopped": edit.stopped,
        **after,
        "retained_loss": round(one.before["retained_held_out"] - after["retained_held_out"], 4),
        "worst_class": {"class": worst, "loss": losses[worst]},
    }
    run.result["edits"].append(row)
    run.write(
        f"  {name}: forget {after['forget_train']:.4f} / {after['forget_held_out']:.4f}, retained "
        f"loss {row['retained_loss']:.4f}, worst {losses[worst]:.4f}, {seconds:.2f} s, "
        f"{row['time_share']:.1%} of retraining"
    )
    return row, edit.model


def evaluated(
    run: Run, one: Class, successor: nn.Module, parts: Mapping[Part, Rows], *, reference: bool
) -> dict[str, Any]:
    """Output level, feature level and verdicts, and what measuring took."""
    fresh = new_network(run.recipe, seed=one.seed + 2000).eval()
    networks: dict[Any, nn.Module] = {"original": one.original, "successor": successor}
    networks |= {"fresh": fresh, **({"retrained": one.retrained} if reference else {})}
    started = run.clock()
    output = evaluate(
        one.original, successor, parts, classes=CLASSES, forgotten=[one.gone], device=run.device,
        reference=one.retrained if reference else None, seed=one.seed,
    )  # fmt: skip
    between = run.clock()
    features = measure_features(
        networks, parts, forgotten=[one.gone], device=run.device, seed=one.seed
    )
    ended = run.clock()
    verdicts = {}
    for name in ("retrained", "fresh") if reference else ("fresh",):
        held = features
        if held is not None and name == "fresh":
            bare = tuple(r.model_copy(update={"retrained": None}) for r in held.readings)
            held = held.model_copy(update={"reference": "fresh", "readings": bare})
        found = output.model_copy(update={"features": held, "level": "feature"})
        decision = decide(found, GateThresholds())
        verdicts[name] = {
            "verdict": decision.verdict.value,
            "rule": decision.rule,
            "reason": decision.reason,
            "positions": {} if held is None else {r.name: r.position for r in held.readings},
        }
    sides = output.membership
    return {
        "seconds": round(ended - started, 3),
        "output_seconds": round(between - started, 3),
        "feature_seconds": round(ended - between, 3),
        "verdict": {name: told["verdict"] for name, told in verdicts.items()},
        "against": verdicts,
        "membership": None if sides is None else {
            side: found and {"auc": found.auc, "low": found.low, "high": found.high}
            for side in ("before", "after", "reference")
            for found in [getattr(sides, side)]
        },
        "figures": output.model_copy(update={"features": features}).figures(),
    }  # fmt: skip

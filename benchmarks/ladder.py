"""How often the edit of each method passes the default gates: what a ladder's order rests on.

    python benchmarks/ladder.py --data digits --seeds 3
    python benchmarks/ladder.py --data cwru --seeds 3
    python benchmarks/ladder.py --data digits --kind samples --seeds 3

Per seed one network with its training card. Every class, or ten draws of 20 single rows, is
forgotten by each method at its defaults and by retraining, measured at the output level without a
reference, and held against the default gates, as in a request. People are compared by
`lethe benchmark --subjects all`, whose cards know of people never seen. Losses of accuracy on
retained held-out rows are in points. Writes ladder_<name>_<kind>.json into benchmarks/results.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from class_forgetting import RESULTS, Splits, facts, mean, read, read_recipe, write
from person_forgetting import card_of
from torch import Tensor, nn

from lethe.choosing import RETRAIN
from lethe.data.rows import TensorRows
from lethe.data.training_card import TrainingCard
from lethe.errors import MethodError
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.results import Part
from lethe.evaluation.verdict import decide
from lethe.models.training import TrainingSettings, new_network, train
from lethe.unlearning.method import Context, ForgetKind, ForgetTarget, load_method

METHODS = {
    "class": (
        "pte",
        "delete",
        "boundary_shrink",
        "imu",
        "class_direction",
        "nearest_mean",
        RETRAIN,
    ),
    "samples": ("calibrated", "l2ul", RETRAIN),
}
CPU = torch.device("cpu")
DRAWS, DRAWN = 10, 20


class Request(NamedTuple):
    """What is forgotten: its name, masks of the rows in both splits, the classes."""

    name: str
    train: Tensor
    held_out: Tensor
    classes: tuple[int, ...]


class Made(NamedTuple):
    """A network, its card and what it was trained on."""

    model: nn.Module
    card: TrainingCard
    splits: Splits
    recipe: TrainingSettings
    seed: int


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, choices=["digits", "cwru", "watch"])
    parser.add_argument("--kind", default="class", choices=sorted(METHODS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    runs: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        model = train(new_network(recipe, seed=seed), splits.train, recipe, seed=seed).model
        made = Made(model, card_of(model, splits, seed), splits, recipe, seed)
        for request in requests(arguments.kind, splits, seed):
            for method in METHODS[arguments.kind]:
                run = measured(made, request, arguments.kind, method)
                runs.append({"seed": seed, "what": request.name, "method": method, **run})
                print(json.dumps(runs[-1]), flush=True)
    summary = {}
    for method in METHODS[arguments.kind]:
        mine = [run for run in runs if run["method"] == method]
        losses = [run["retained_loss"] for run in mine if run["retained_loss"] is not None]
        summary[method] = {
            "requests": len(mine),
            "passed": sum(run["verdict"] != "refused" for run in mine),
            "retained_loss_mean": mean(losses) if losses else None,
            "retained_loss_worst": max(losses, default=None),
        }
    print(json.dumps(summary, indent=2))
    if not arguments.no_write:
        known = facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=1)
        path = RESULTS / f"ladder_{arguments.data}_{arguments.kind}.json"
        write(path, {**known, "kind": arguments.kind, "summary": summary, "runs": runs})
    return 0


def requests(kind: str, splits: Splits, seed: int) -> Iterator[Request]:
    """Every class, or some draws of single rows."""
    if kind == "class":
        for index, name in enumerate(splits.classes):
            yield Request(name, splits.train.y == index, splits.held_out.y == index, (index,))
    else:
        generator = torch.Generator().manual_seed(seed)
        for draw in range(DRAWS):
            chosen = torch.zeros(len(splits.train), dtype=torch.bool)
            chosen[torch.randperm(len(chosen), generator=generator)[:DRAWN]] = True
            yield Request(f"draw {draw}", chosen, splits.held_out.y < 0, ())


def measured(made: Made, request: Request, kind: ForgetKind, method: str) -> dict[str, Any]:
    """The verdict by the default gates, which of them failed, and what it cost."""
    splits = made.splits
    parts = {
        Part.FORGET_TRAIN: some(splits.train, request.train),
        Part.FORGET_HELD_OUT: some(splits.held_out, request.held_out),
        Part.RETAINED_TRAIN: some(splits.train, ~request.train),
        Part.RETAINED_HELD_OUT: some(splits.held_out, ~request.held_out),
    }
    try:
        network = edited(made, parts, request, kind, method)
    except MethodError as error:
        return {"verdict": "refused", "failed": [str(error)[:80]], "retained_loss": None}
    found = evaluate(
        made.model, network, parts, classes=splits.classes, forgotten=request.classes, device=CPU
    )
    decision = decide(found, GateThresholds(), retrained=method == RETRAIN)
    before, after = found.before.retained_held_out, found.after.retained_held_out
    return {
        "verdict": decision.verdict.value,
        "failed": [gate.name for gate in decision.gates if gate.passed is False],
        "retained_loss": round(100 * (before.share - after.share), 3) if before and after else None,
    }


def edited(
    made: Made, parts: dict[Part, TensorRows], request: Request, kind: ForgetKind, method: str
) -> nn.Module:
    """The network that the method leaves, at its defaults."""
    if method == RETRAIN:
        fresh = new_network(made.recipe, seed=made.seed)
        return train(fresh, parts[Part.RETAINED_TRAIN], made.recipe, seed=made.seed).model
    unlearning, context = load_method(method), Context(seed=made.seed, card=made.card)
    target = ForgetTarget(parts[Part.FORGET_TRAIN], kind, request.classes)
    instructions = unlearning.probe(made.model, target, context)
    return unlearning.edit(made.model, target, instructions, context).model


def some(rows: TensorRows, chosen: Tensor) -> TensorRows:
    """Some of the rows."""
    return TensorRows(rows.x[chosen], rows.y[chosen])


if __name__ == "__main__":
    sys.exit(main())

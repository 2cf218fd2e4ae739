"""Does the verdict see through what only looks like forgetting?

    python benchmarks/negative_controls.py --data watch --seeds 3
    python benchmarks/negative_controls.py --data cwru --seeds 3 --write

Per seed and class it trains a model, and judges five successors whose verdict is known:

| control    | what it is                                              | right verdict        |
|------------|---------------------------------------------------------|----------------------|
| unchanged  | the model itself                                        | refused              |
| head_only  | the class struck out of the last layer                  | suppressed           |
| retrained  | trained without the class, said to be                   | retrained            |
| unsaid     | the same network, taken for an edit                     | erased               |
| destroyed  | plain gradient ascent on the class, until nothing works | refused              |

and PTE's, whatever it is. The retrained control has another seed than the reference; each is judged
against a fresh network alone too, where `unsaid` may be suppressed: that yardstick is harder.
Exits with 1 when a verdict is wrong.
"""

import argparse
import copy
import json
import sys
import time
from collections import Counter
from typing import Any

import torch
from class_forgetting import RESULTS, ROOT, facts, only, read, read_recipe, without, write
from torch import nn

from lethe.data.prepare import ensure_prepared
from lethe.evaluation.feature_level.layers import head_of
from lethe.evaluation.feature_level.measure import measure_features
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.results import Part
from lethe.evaluation.verdict import Decision, decide
from lethe.models.training import new_network, train
from lethe.unlearning.method import Context, ForgetTarget, load_method

CPU = torch.device("cpu")
RIGHT = {
    "unchanged": {"refused"},
    "head_only": {"suppressed"},
    "retrained": {"retrained"},
    "unsaid": {"erased"},
    "destroyed": {"refused"},
}


def main() -> int:
    """Judge every control, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--classes", help="labels with commas between; default: one per seed")
    parser.add_argument("--write", action="store_true", help="keep the result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ensure_prepared(arguments.data, root=ROOT, home=ROOT / ".lethe")
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    runs: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        original = train(new_network(recipe, seed=seed), splits.train, recipe, seed=seed).model
        every = arguments.classes and arguments.classes.split(",")
        names = every or [splits.classes[(3 * seed + 1) % len(splits.classes)]]
        for name in names:
            gone = splits.classes.index(name)
            rest = without(splits.train, gone)
            # Flows retrain with the seed that the model had.
            other, retrained = (
                train(new_network(recipe, seed=s), rest, recipe, seed=s).model
                for s in (seed, seed + 1000)
            )
            pte, seconds = by_pte(original, splits, gone, seed)
            successors = {
                "unchanged": copy.deepcopy(original),
                "head_only": head_only(original, splits.train.x[:2], gone),
                "retrained": retrained,
                "unsaid": retrained,
                "destroyed": destroyed(original, only(splits.train, gone)),
                "pte": pte,
            }
            for control, successor in successors.items():
                found = judged(
                    original, successor, other,
                    splits=splits, gone=gone, recipe=recipe, seed=seed, control=control,
                )  # fmt: skip
                runs.append({"seed": seed, "class": name, "control": control, **found})
                if control == "pte":
                    runs[-1]["edit_seconds"] = seconds
                print(json.dumps(runs[-1]))
    wrong = [
        run
        for run in runs
        if run["control"] in RIGHT
        and (
            run["verdict"] not in RIGHT[run["control"]]
            or run["against_fresh"]
            not in RIGHT[run["control"]] | ({"suppressed"} if run["control"] == "unsaid" else set())
        )
    ]
    table = Counter((run["control"], run["verdict"], run["against_fresh"]) for run in runs)
    for (control, verdict, fresh), count in sorted(table.items()):
        print(f"{control:10} {verdict:11} against a fresh network alone: {fresh:11} {count}")
    print(f"{len(wrong)} wrong of {len(runs)}")
    if arguments.write:
        known = facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=1)
        result = {**known, "wrong": len(wrong), "runs": runs}
        write(RESULTS / f"negative_controls_{arguments.data}.json", result)
    return int(bool(wrong))


def head_only(model: nn.Module, x: torch.Tensor, gone: int) -> nn.Module:
    """The class's row of the last layer set to zero, with a bias that rules it out."""
    edited = copy.deepcopy(model)
    head = edited.get_submodule(str(head_of(edited, x)))
    with torch.no_grad():
        head.weight[gone] = 0
        head.bias[gone] = -20
    return edited


def destroyed(model: nn.Module, rows: Any) -> nn.Module:
    """Gradient ascent on the class's rows, without bound."""
    wrecked = copy.deepcopy(model).eval()
    optimizer = torch.optim.SGD(wrecked.parameters(), lr=0.05)
    for _ in range(3):
        for batch in rows.batches(64, seed=0):
            loss = -nn.functional.cross_entropy(wrecked(batch.x), batch.y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(wrecked.parameters(), 5.0)
            optimizer.step()
    return wrecked


def by_pte(model: nn.Module, splits: Any, gone: int, seed: int) -> tuple[nn.Module, float]:
    """PTE's edit by its defaults, and its seconds."""
    method = load_method("pte")
    target = ForgetTarget(only(splits.train, gone), "class", (gone,))
    started = time.perf_counter()
    instructions = method.probe(model, target, Context(seed=seed))
    edit = method.edit(model, target, instructions, Context(seed=seed))
    return edit.model, round(time.perf_counter() - started, 3)


def judged(
    original: nn.Module,
    successor: nn.Module,
    reference: nn.Module,
    *,
    splits: Any,
    gone: int,
    recipe: Any,
    seed: int,
    control: str,
) -> dict[str, Any]:
    """Both verdicts, the positions, and what measuring took."""
    parts = {
        Part.FORGET_TRAIN: only(splits.train, gone),
        Part.FORGET_HELD_OUT: only(splits.held_out, gone),
        Part.RETAINED_TRAIN: without(splits.train, gone),
        Part.RETAINED_HELD_OUT: without(splits.held_out, gone),
    }
    started = time.perf_counter()
    output = evaluate(
        original, successor, parts, classes=splits.classes, forgotten=[gone], device=CPU,
        reference=reference, seed=seed,
    )  # fmt: skip
    output_seconds = time.perf_counter() - started
    networks = {
        "original": original,
        "successor": successor,
        "fresh": new_network(recipe, seed=seed + 2000).eval(),
    }
    said = control == "retrained"

    def verdict(more: dict[str, nn.Module]) -> tuple[Decision, Any]:
        features = measure_features(
            {**networks, **more}, parts, forgotten=[gone], device=CPU, seed=seed
        )
        evaluation = output.model_copy(update={"features": features, "level": "feature"})
        return decide(evaluation, GateThresholds(), retrained=said), features

    decision, features = verdict({"retrained": reference})
    against_fresh, _ = verdict({})
    return {
        "verdict": decision.verdict.value,
        "rule": decision.rule,
        "failed": [gate.name for gate in decision.gates if gate.passed is False],
        "against_fresh": against_fresh.verdict.value,
        "positions": {
            one.name: None if one.position is None else round(one.position, 3)
            for one in features.readings
        },
        "forget_held_out": output.after.forget_held_out.share,
        "retained_held_out": output.after.retained_held_out.share,
        "output_seconds": round(output_seconds, 3),
        "feature_seconds": round(features.seconds, 3),
    }


if __name__ == "__main__":
    sys.exit(main())

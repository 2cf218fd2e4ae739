"""PTE with and without its feature term, judged at both levels.

    python benchmarks/inside.py --data digits --seeds 3
    python benchmarks/inside.py --data watch --seeds 3

Per seed one class: PTE by its defaults, with all layers, and with the feature term in both forms,
with as many epochs of repair as the term needs to act. Positions are 0 at the network retrained
without the class (same seed) and 1 at the original; the loss is that of retained held-out accuracy
in points. Writes inside_<name>.json into benchmarks/results.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from typing import Any

import torch
from class_forgetting import RESULTS, ROOT, facts, only, read, read_recipe, without, write

from lethe.data.prepare import ensure_prepared
from lethe.evaluation.feature_level.measure import measure_features
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.results import Part
from lethe.evaluation.verdict import decide
from lethe.models.training import new_network, train
from lethe.unlearning.method import Context, ForgetTarget, load_method

CPU = torch.device("cpu")
REPAIR = 20
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "all layers": {"edited_share": 1.0},
    "all layers, long repair": {"edited_share": 1.0, "repair_epochs": REPAIR},
    "redirect": {"inside": "redirect", "repair_epochs": REPAIR},
    "contract": {"inside": "contract", "repair_epochs": REPAIR},
    "redirect, all layers": {"inside": "redirect", "edited_share": 1.0, "repair_epochs": REPAIR},
    "contract, all layers": {"inside": "contract", "edited_share": 1.0, "repair_epochs": REPAIR},
}


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ensure_prepared(arguments.data, root=ROOT, home=ROOT / ".lethe")
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    runs: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        gone = (3 * seed + 1) % len(splits.classes)
        original = train(new_network(recipe, seed=seed), splits.train, recipe, seed=seed).model
        rest = without(splits.train, gone)
        retrained = train(new_network(recipe, seed=seed), rest, recipe, seed=seed).model
        parts = {
            Part.FORGET_TRAIN: only(splits.train, gone),
            Part.FORGET_HELD_OUT: only(splits.held_out, gone),
            Part.RETAINED_TRAIN: rest,
            Part.RETAINED_HELD_OUT: without(splits.held_out, gone),
        }
        target = ForgetTarget(parts[Part.FORGET_TRAIN], "class", (gone,))
        for name, options in VARIANTS.items():
            method = load_method("pte", options)
            found = method.probe(original, target, Context(seed=seed))
            edit = method.edit(original, target, found, Context(seed=seed))
            output = evaluate(
                original, edit.model, parts, classes=splits.classes, forgotten=[gone], device=CPU,
                reference=retrained,
            )  # fmt: skip
            features = measure_features(
                {"original": original, "successor": edit.model, "retrained": retrained},
                parts, forgotten=[gone], device=CPU, seed=seed,
            )  # fmt: skip
            both = output.model_copy(update={"features": features, "level": "feature"})
            decision = decide(both, GateThresholds())
            before, after = output.before.retained_held_out, output.after.retained_held_out
            runs.append(
                {
                    "seed": seed,
                    "class": splits.classes[gone],
                    "variant": name,
                    "verdict": decision.verdict.value,
                    "rule": decision.rule,
                    "positions": {
                        one.name: None if one.position is None else round(one.position, 3)
                        for one in features.readings
                    },
                    "forget_held_out": output.after.forget_held_out.share,
                    "retained_loss": round(100 * (before.share - after.share), 2),
                    "edit_seconds": round(edit.seconds, 2),
                }
            )
            print(json.dumps(runs[-1]))
    for name in VARIANTS:
        mine = [run for run in runs if run["variant"] == name]
        relearn = [run["positions"].get("relearn") for run in mine]
        known = [value for value in relearn if value is not None]
        loss = statistics.fmean(run["retained_loss"] for run in mine)
        verdicts = [run["verdict"] for run in mine]
        middle = f"{statistics.fmean(known):.2f}" if known else "cannot tell"
        print(f"{name:24} relearn {middle:11} loss {loss:6.2f}  {verdicts}")
    if not arguments.no_write:
        known_facts = facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=1)
        write(RESULTS / f"inside_{arguments.data}.json", {**known_facts, "runs": runs})
    return 0


if __name__ == "__main__":
    sys.exit(main())

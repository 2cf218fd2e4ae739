"""Forget each person of a data set in turn, against retraining without them in the same run.

    python benchmarks/person_forgetting.py --data watch --people 0,1,2 --seeds 1
    python benchmarks/person_forgetting.py --data watch --method ssd --options '{"alpha": 20}'

Reads data/<name> as committed and its recipe in params.yaml. Per seed it trains once and makes the
training card, then for each person it unlearns and retrains without their rows. Three distances to
the retrained network are taken: the area (AUC) of the membership attack, the person's training rows
against their held-out rows; the accuracy on the person's training rows; and the accuracy on the
other people's held-out rows. Accuracies are in percent. Writes person_forgetting_<name>.json into
benchmarks/results, or person_forgetting_<name>_<method>.json for a method other than `calibrated`.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from class_forgetting import RESULTS, ROOT, Splits, accuracy, facts, mean, read, read_recipe, write
from torch import nn

from lethe.data.repository import open_dataset
from lethe.data.rows import TensorRows
from lethe.data.training_card import TrainingCard
from lethe.evaluation.membership import attack, loss_scores
from lethe.models.card import About, make_card
from lethe.models.training import TrainingSettings, new_network, train
from lethe.unlearning.method import Context, ForgetTarget, load_method

FIGURES = ("membership_auc", "person_train", "others_held_out")
CPU = torch.device("cpu")


class People(NamedTuple):
    """Whose row is which: an id for every training and every held-out row, in their order."""

    train: np.ndarray
    held_out: np.ndarray

    @property
    def ids(self) -> list[str]:
        """All people with training rows, sorted."""
        return sorted(set(self.train.tolist()))


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="watch", choices=["watch"])
    parser.add_argument("--people", default="0,1,2", help="positions in the sorted ids")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--method", default="calibrated")
    parser.add_argument("--options", default="{}", help="the method's options, JSON")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    people = whose(arguments.data)
    chosen = [int(position) for position in arguments.people.split(",")]
    options = json.loads(arguments.options)
    runs = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        original = train(new_network(recipe, seed=seed), splits.train, recipe, seed=seed).model
        card = card_of(original, splits, seed)
        for position in chosen:
            run = forget(
                original,
                card,
                splits,
                people,
                position,
                recipe=recipe,
                method=arguments.method,
                options=options,
                seed=seed,
            )
            runs.append({"seed": seed, "person": position, **run})
            print(json.dumps(runs[-1]), flush=True)
    result = {
        **facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=arguments.threads),
        "method": arguments.method,
        "options": load_method(arguments.method, options).model_dump(mode="json"),
        "summary": summarise(runs),
        "runs": runs,
    }
    print(json.dumps(result["summary"], indent=2))
    if not arguments.no_write:
        suffix = "" if arguments.method == "calibrated" else f"_{arguments.method}"
        write(RESULTS / f"person_forgetting_{arguments.data}{suffix}.json", result)
    return 0


def whose(name: str) -> People:
    """The subjects of data/<name> as committed."""
    opened = open_dataset(str(ROOT), f"data/{name}", "HEAD")
    found = []
    for split in ("train", "test"):
        with opened.opener(split)() as raw:
            table = pq.read_table(raw, columns=["subject_id"])
        found.append(np.asarray(table.column("subject_id").to_pylist()))
    return People(*found)


def card_of(model: nn.Module, splits: Splits, seed: int) -> TrainingCard:
    """The training card, as the flow `train` makes it."""
    about = About("0" * 64, "data", splits.dvc_md5, "HEAD")
    return make_card(
        model, splits.train, splits.held_out, splits.classes, device=CPU, seed=seed, about=about
    )


def forget(
    model: nn.Module,
    card: TrainingCard,
    splits: Splits,
    people: People,
    position: int,
    *,
    recipe: TrainingSettings,
    method: str,
    options: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """The three figures before, after and retrained, and what it took."""
    person = people.ids[position]
    own, own_held_out = people.train == person, people.held_out == person
    rows = (
        take(splits.train, own),
        take(splits.held_out, own_held_out),
        take(splits.held_out, ~own_held_out),
    )
    unlearning = load_method(method, options)
    target, context = ForgetTarget(rows[0], "subject"), Context(seed=seed, card=card)
    clocks = [time.process_time()]
    instructions = unlearning.probe(model, target, context)
    edit = unlearning.edit(model, target, instructions, context)
    clocks.append(time.process_time())
    retrained = train(
        new_network(recipe, seed=seed), take(splits.train, ~own), recipe, seed=seed
    ).model
    clocks.append(time.process_time())
    networks = {"before": model, "after": edit.model, "retrained": retrained}
    found = {name: figures(network, *rows) for name, network in networks.items()}
    return {
        "rows": len(rows[0]),
        **found,
        "distance_before": distances(found["before"], found["retrained"]),
        "distance_after": distances(found["after"], found["retrained"]),
        "epochs": edit.epochs,
        "stopped": edit.stopped,
        "unlearn_cpu_seconds": round(clocks[1] - clocks[0], 3),
        "retrain_cpu_seconds": round(clocks[2] - clocks[1], 3),
    }


def take(rows: TensorRows, chosen: np.ndarray) -> TensorRows:
    """Some of the rows."""
    mask = torch.from_numpy(chosen)
    return TensorRows(rows.x[mask], rows.y[mask])


def figures(
    model: nn.Module, own: TensorRows, own_held_out: TensorRows, others: TensorRows
) -> dict[str, float]:
    """Area of the membership attack and two accuracies in percent."""
    with torch.no_grad():
        scores = [loss_scores(model(rows.x), rows.y) for rows in (own, own_held_out)]
    found = attack(*scores, seed=0)
    if found is None:
        raise SystemExit("The person has fewer than five rows in a split.")
    return {
        "membership_auc": round(found.auc, 4),
        "membership_low": round(found.low, 4),
        "membership_high": round(found.high, 4),
        "person_train": round(accuracy(model, own), 2),
        "person_held_out": round(accuracy(model, own_held_out), 2),
        "others_held_out": round(accuracy(model, others), 2),
    }


def distances(found: Mapping[str, float], retrained: Mapping[str, float]) -> dict[str, float]:
    """Each figure minus that of the retrained network."""
    return {name: round(found[name] - retrained[name], 4) for name in FIGURES}


def summarise(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of the absolute distances."""
    return {
        moment: {
            name: mean(abs(run[f"distance_{moment}"][name]) for run in runs) for name in FIGURES
        }
        for moment in ("before", "after")
    }


if __name__ == "__main__":
    sys.exit(main())

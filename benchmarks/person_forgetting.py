"""Forget each person of a data set in turn, against retraining without them in the same run.

    python benchmarks/person_forgetting.py --data watch --people 0,1,2 --seeds 1
    python benchmarks/person_forgetting.py --data watch --method ssd --options '{"alpha": 20}'
    python benchmarks/person_forgetting.py --first-seed 3 --choice --options '{"epochs": 9}'

Reads data/<name> as committed and its recipe in params.yaml. Per seed it trains once and makes the
training card as the flow `train` does, with the networks that never saw some people; then for each
person it unlearns and retrains without their rows. Three distances to the retrained network are
taken: the area (AUC) of the membership attack, the person's training rows against their held-out
rows; the accuracy on the person's training rows; and the accuracy on the other people's held-out
rows. Accuracies are in percent. With several seeds, `floor` is how far apart two networks are that
were both retrained without the person, with one seed and the next. Writes
person_forgetting_<name>.json into benchmarks/results, or person_forgetting_<name>_<method>.json for
a method other than `calibrated`. With `--choice` only the summary is kept, in
person_choice_<name>.json beside those of other options: what settings are chosen by, with other
seeds than those reported.
"""

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from class_forgetting import RESULTS, ROOT, Splits, accuracy, facts, read, read_recipe, write
from torch import nn

from lethe.data.repository import open_dataset
from lethe.data.rows import TensorRows
from lethe.data.training_card import TrainingCard
from lethe.evaluation.comparison.summary import interval
from lethe.evaluation.membership import attack, loss_scores
from lethe.models.card import CURVATURE_ROWS, CURVATURE_TEMPERATURE, About, make_card
from lethe.models.cross_fitting import cross_fit
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
    parser.add_argument(
        "--keep", type=Path, help="keep networks and cards in this folder and use them again"
    )
    parser.add_argument(
        "--temperature", type=float, default=CURVATURE_TEMPERATURE, help="of the card's curvature"
    )
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    parser.add_argument("--choice", action="store_true", help="keep the summary by its options")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    people = whose(arguments.data)
    chosen = [int(position) for position in arguments.people.split(",")]
    options = json.loads(arguments.options)
    runs = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        original = network_of(
            splits.train, recipe, seed, _kept(arguments.keep, f"original_{seed}.pt")
        )
        card = card_of(
            original,
            splits,
            seed,
            people=people,
            recipe=recipe,
            temperature=arguments.temperature,
            kept=_kept(arguments.keep, f"card_{seed}_{arguments.temperature:g}.safetensors"),
        )
        print(json.dumps({"seed": seed, "card": about(card)}), flush=True)
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
                kept=_kept(arguments.keep, f"retrained{position}_{seed}.pt"),
            )
            runs.append({"seed": seed, "person": position, **run})
            print(json.dumps(runs[-1]), flush=True)
    result = {
        **facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=arguments.threads),
        "command": _command(sys.argv),
        "method": arguments.method,
        "options": load_method(arguments.method, options).model_dump(mode="json"),
        "card": about(card),
        "summary": summarise(runs),
        "runs": runs,
    }
    print(json.dumps(result["summary"], indent=2))
    if arguments.choice:
        keep_choice(arguments, result)
    elif not arguments.no_write:
        suffix = "" if arguments.method == "calibrated" else f"_{arguments.method}"
        write(RESULTS / f"person_forgetting_{arguments.data}{suffix}.json", result)
    return 0


def keep_choice(arguments: argparse.Namespace, result: Mapping[str, Any]) -> None:
    """Put a summary among those of other options, in place of what was known of these."""
    path = RESULTS / f"person_choice_{arguments.data}.json"
    about = {
        "method": arguments.method,
        "options": result["options"],
        "temperature": arguments.temperature,
        "seeds": [arguments.first_seed, arguments.seeds],
        "people": arguments.people,
    }
    known = json.loads(path.read_text("utf-8")) if path.exists() else []
    others = [one for one in known if {name: one[name] for name in about} != about]
    found = [*others, {**about, "command": result["command"], "summary": result["summary"]}]
    write(path, sorted(found, key=lambda one: json.dumps(one, sort_keys=True)))


def whose(name: str) -> People:
    """The subjects of data/<name> as committed."""
    opened = open_dataset(str(ROOT), f"data/{name}", "HEAD")
    found = []
    for split in ("train", "test"):
        with opened.opener(split)() as raw:
            table = pq.read_table(raw, columns=["subject_id"])
        found.append(np.asarray(table.column("subject_id").to_pylist()))
    return People(*found)


def card_of(
    model: nn.Module,
    splits: Splits,
    seed: int,
    *,
    people: People | None = None,
    recipe: TrainingSettings | None = None,
    temperature: float = CURVATURE_TEMPERATURE,
    kept: Path | None = None,
) -> TrainingCard:
    """The training card, as the flow `train` makes it; people are named by their ids.

    Without people or recipe it knows nothing of people never seen.
    """
    if kept is not None and kept.exists():
        return TrainingCard.load(kept)
    unseen = None
    if people is not None and recipe is not None and recipe.unseen_folds:
        unseen = cross_fit(
            splits.train,
            people.train.tolist(),
            recipe,
            classes=len(splits.classes),
            device=CPU,
            seed=seed,
            mark=str,
        )
    card = make_card(
        model,
        splits.train,
        splits.held_out,
        splits.classes,
        device=CPU,
        seed=seed,
        about=About("0" * 64, "data", splits.dvc_md5, "HEAD"),
        curvature_rows=CURVATURE_ROWS if unseen else 0,
        curvature_temperature=temperature,
        unseen=unseen,
    )
    if kept is not None:
        card.save(kept)
    return card


def network_of(
    rows: TensorRows, recipe: TrainingSettings, seed: int, kept: Path | None = None
) -> nn.Module:
    """A network trained on the rows, or the one that was kept of them."""
    network = new_network(recipe, seed=seed)
    if kept is not None and kept.exists():
        network.load_state_dict(torch.load(kept, weights_only=True))
        return network.eval()
    network = train(network, rows, recipe, seed=seed).model
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), kept)
    return network


def about(card: TrainingCard) -> dict[str, int]:
    """How much the card holds beside what every card does."""
    known = card.summary()
    names = ("curvature_rows", "curvature_layers", "curvature_numbers", "unseen_folds")
    return {name: known[name] for name in (*names, "unseen_people")}


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
    kept: Path | None = None,
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
    target = ForgetTarget(rows[0], "subject", fingerprints=(person,))
    context = Context(seed=seed, card=card)
    clocks = [time.process_time()]
    instructions = unlearning.probe(model, target, context)
    edit = unlearning.edit(model, target, instructions, context)
    clocks.append(time.process_time())
    known = kept is not None and kept.exists()
    retrained = network_of(take(splits.train, ~own), recipe, seed, kept)
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
        # A network that was kept took no time that could be compared.
        "retrain_cpu_seconds": None if known else round(clocks[2] - clocks[1], 3),
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
    """Mean absolute distances: of runs, people, the worst seed; with sign; of seeds alone."""
    found: dict[str, Any] = {
        moment: {
            name: _mean(abs(run[f"distance_{moment}"][name]) for run in runs) for name in FIGURES
        }
        for moment in ("before", "after")
    }
    found["after_worst_seed"] = {name: _worst_seed(runs, name) for name in FIGURES}
    for moment in ("before", "after"):
        each = {name: _each_person(runs, moment, name) for name in FIGURES}
        by_person = {name: _mean(abs(one) for one in of) for name, of in each.items()}
        found.setdefault("by_person", {})[moment] = by_person
        signed = {name: _with_interval(of) for name, of in each.items()}
        found.setdefault("signed", {})[moment] = signed
    retrained = {(run["seed"], run["person"]): run["retrained"] for run in runs}
    seeds = sorted({seed for seed, _ in retrained})
    if len(seeds) > 1:
        after = dict(zip(seeds, seeds[1:] + seeds[:1], strict=True))
        apart = [
            distances(known, retrained[after[seed], person])
            for (seed, person), known in retrained.items()
        ]
        found["floor"] = {name: _mean(abs(one[name]) for one in apart) for name in FIGURES}
    return found


def _worst_seed(runs: Sequence[Mapping[str, Any]], name: str) -> float:
    """The largest of the seeds' mean absolute distances after the edit."""
    seeds = {run["seed"] for run in runs}
    return max(
        _mean(abs(run["distance_after"][name]) for run in runs if run["seed"] == seed)
        for seed in seeds
    )


def _each_person(runs: Sequence[Mapping[str, Any]], moment: str, name: str) -> list[float]:
    """Each person's distance with its sign, the mean over seeds.

    What a seed does goes up and down alike and cancels; what is left is what networks know.
    """
    return [
        statistics.fmean(run[f"distance_{moment}"][name] for run in runs if run["person"] == person)
        for person in sorted({run["person"] for run in runs})
    ]


def _with_interval(each: Sequence[float]) -> list[float | None]:
    """Mean over people and half of its 95 % interval (Student's t)."""
    over = interval(each)
    half = None if over.high is None else round(over.high - over.mean, 4)
    return [round(over.mean, 4), half]


def _command(words: Sequence[str]) -> str:
    """What gives the same figures, wherever networks are kept."""
    left = list(words[1:])
    if "--keep" in left:
        at = left.index("--keep")
        del left[at : at + 2]
    return shlex.join(["python", f"benchmarks/{Path(words[0]).name}", *left])


def _kept(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / name


def _mean(values: Iterable[float]) -> float:
    return round(statistics.fmean(values), 4)


if __name__ == "__main__":
    sys.exit(main())

"""People's losses with networks that never saw them: made by training, used, and taken out."""

import subprocess
from types import SimpleNamespace

import numpy as np
import yaml
from dvc.repo import Repo

from flows.train import train
from lethe.data.digest import subject_fingerprint
from lethe.data.forget_set import ForgetSpec, resolve_forget_set
from lethe.data.info import DatasetInfo
from lethe.data.parquet import Block, write_dataset
from lethe.data.selection import Selection
from lethe.keys import record_key
from lethe.settings import load_settings
from lethe.unlearning.method import Context, load_method
from model_registry.connection import connect
from model_registry.pull import pull_version
from tasks.card import successor_card
from tasks.earlier import Earlier
from tasks.edit import forget_target
from tasks.retraining import Retraining

PEOPLE = [f"p{i}" for i in range(6)]


def add_people(project):
    """The data set `people`, committed, and a recipe with folds."""
    rng, classes, shape = np.random.default_rng(0), ("a", "b", "c"), (1, 8, 8)
    centres, habits = rng.normal(size=(3, *shape)), rng.normal(size=(6, *shape))
    blocks = {}
    for split, count in (("train", 180), ("test", 60)):
        at = np.arange(count)
        kinds, whose = at % 3, at // 3 % 6
        noise = 0.3 * rng.normal(size=(count, *shape))
        inputs = (centres[kinds] + 0.5 * habits[whose] + noise).astype(np.float32)
        blocks[split] = Block(
            [f"{split}-{i}" for i in at],
            [classes[k] for k in kinds],
            inputs,
            [PEOPLE[w] for w in whose],
        )
    facts = dict.fromkeys(("name", "title", "source", "licence", "citation"), "people")
    info = DatasetInfo(**facts, classes=classes, shape=shape, split="none", preprocessing="none")
    write_dataset(project / "data" / "people", info, blocks)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"]["people"] = {
        "network": "lethe.models.networks:digits_cnn",
        "network_kwargs": {"classes": 3},
        "epochs": 6,
        "batch_size": 16,
        "learning_rate": 0.005,
        "unseen_folds": 3,
    }
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    who = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org"]
    with Repo(str(project)) as repo:
        repo.add(str(project / "data" / "people"))
    for words in (["git", "add", "-A"], ["git", *who, "commit", "-q", "-m", "People"]):
        subprocess.run(words, cwd=project, check=True, capture_output=True)


def test_a_person_s_losses_are_made_by_training_and_gone_once_they_are_forgotten(project, lethe):
    add_people(project)
    train("people")
    settings = load_settings()
    client = connect(settings)
    parent = pull_version(client, "people/1", settings)
    card = parent.card()
    key = record_key(settings.record_key_file)
    marks = {one: subject_fingerprint(key, one) for one in PEOPLE}
    assert set(card.unseen.fingerprints) == set(marks.values())
    assert card.unseen.rows.tolist() == [[10, 10, 10]] * 6
    assert (card.facts.unseen_folds, card.facts.curvature_rows) == (3, 180)
    metrics = client.get_run(parent.run_id).data.metrics
    assert metrics["seconds/cross_fitting"] > 0
    out = lethe("model", "card", "people/1")[1]
    assert "losses of 6 people, from 3 networks" in out

    def forgets(person, method):
        spec = ForgetSpec(dataset="data/people", selection=Selection(subjects=(person,)))
        forget = resolve_forget_set(spec, max_share=0.5, key=key)
        return SimpleNamespace(
            settings=settings,
            method=method,
            parent=parent,
            forget=forget,
            earlier=Earlier((), ()),
            classes=parent.facts.classes,
            forgotten=(),
            memory_budget=2**28,
        )

    record = forgets("p2", load_method("calibrated"))
    target = forget_target(record)
    assert (len(target.rows), target.fingerprints) == (30, (marks["p2"],))
    context = Context(card=card)
    instructions = record.method.probe(parent.network, target, context)
    assert instructions.facts["reference"] == "person"
    edit = record.method.edit(parent.network, target, instructions, context)
    left = successor_card(record, edit, "0" * 64)
    assert set(left.unseen.fingerprints) == {marks[one] for one in PEOPLE if one != "p2"}
    assert left.facts.curvature_holds_forgotten

    rebuilt = successor_card(forgets("p4", Retraining()), edit, "0" * 64)
    assert set(rebuilt.unseen.fingerprints) == {marks[one] for one in PEOPLE if one != "p4"}
    assert rebuilt.facts.curvature_rows == 150

"""Canaries in every field of real tickets, and a search for them in everything that was written."""

import contextlib
import json
import logging
import socket
import subprocess
import sys
import tempfile
import threading
import zipfile
from datetime import datetime
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml

# pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))
from canary_tickets import (
    DPO,
    POLICY,
    SECRET,
    WAIT,
    Canaries,
    Sender,
    Tickets,
    look_everywhere,
    send_all,
)

PAGE = 200  # Prefect's limit
# What is trained on holds the ids of its people: it is the data, not what was written about it.
DATA = ("data", ".dvc/cache", ".lethe/dvc-remote")


@pytest.fixture
def canaries():
    return Canaries()


@pytest.fixture
def tickets(canaries):
    """The answering side: its address and what it was sent."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Tickets) as server:
        server.daemon_threads, server.got, server.plant = True, [], canaries.plant
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
        server.shutdown()
        thread.join(WAIT)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files go, so that what is left of them is searched too."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def log_file(tmp_path):
    """Everything that any library logs, at DEBUG, also what Prefect keeps to itself."""
    from lethe.logs import json_formatter

    path = tmp_path / "debug.log"
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(json_formatter())  # with all that is given beside a message
    changed = [logging.getLogger(name) for name in ("", "prefect", "prefect.flow_runs", "lethe")]
    changed += [logging.getLogger(name) for name in ("prefect.task_runs", "sqlalchemy", "mlflow")]
    changed += [logging.getLogger("lethe.trail")]
    levels = [logger.level for logger in changed]
    for logger in changed:
        logger.setLevel(logging.DEBUG)
        if logger.name == "root" or not logger.propagate:
            logger.addHandler(handler)
    yield path
    for logger, level in zip(changed, levels, strict=True):
        logger.setLevel(level)
        logger.removeHandler(handler)
    handler.close()


@pytest.fixture
def office(project, tickets, canaries, monkeypatch, tmp_path, scratch):
    """The project with a policy, and a model of people who are canaries themselves."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("T_SECRET", SECRET)
    monkeypatch.setenv("T_DPO", DPO)
    monkeypatch.setenv("T_USER", "bot")
    key = tmp_path / "key.pem"
    key.touch(mode=0o600)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pem = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(pem.private_bytes(encoding, form, serialization.NoEncryption()))
    (project / "policy.toml").write_text(POLICY.format(url=tickets.url, key=key))
    people = [canaries.plant(f"subject {i}") for i in range(3)]
    samples = [canaries.plant(f"sample {i}") for i in range(2)]
    add_people(project, people, samples)
    return people, samples


def add_people(project, people, samples):
    """The data set `people`, committed, and a network trained on it."""
    from dvc.repo import Repo

    from flows.train import train
    from lethe.data.info import DatasetInfo
    from lethe.data.parquet import Block, write_dataset

    rng, classes, shape = np.random.default_rng(0), ("a", "b", "c"), (1, 8, 8)
    centres = rng.normal(size=(3, *shape))
    blocks = {}
    for split, count in (("train", 120), ("test", 60)):
        kinds = np.arange(count) % 3
        inputs = (centres[kinds] + 0.3 * rng.normal(size=(count, *shape))).astype(np.float32)
        subjects = [people[i % 20] if i % 20 < len(people) else f"p-{i % 20}" for i in range(count)]
        ids = [*(samples if split == "train" else ()), *(f"{split}-{i}" for i in range(count))]
        blocks[split] = Block(ids[:count], [classes[k] for k in kinds], inputs, subjects)
    facts = dict.fromkeys(("name", "title", "source", "licence", "citation"), "people")
    info = DatasetInfo(**facts, classes=classes, shape=shape, split="none", preprocessing="none")
    write_dataset(project / "data" / "people", info, blocks)
    params = yaml.safe_load((project / "params.yaml").read_text())
    network = {"network": "lethe.models.networks:digits_cnn", "network_kwargs": {"classes": 3}}
    params["train"]["people"] = network | {"epochs": 6, "batch_size": 16, "learning_rate": 0.005}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    who = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org"]
    with Repo(str(project)) as repo:
        repo.add(str(project / "data" / "people"))
    for words in (["git", "add", "-A"], ["git", *who, "commit", "-q", "-m", "People"]):
        subprocess.run(words, cwd=project, check=True, capture_output=True)
    assert train("people").version == "people/1"


@contextlib.contextmanager
def serving(settings):
    """The intake service on a free port, as `lethe intake` runs it; gives the port."""
    import uvicorn

    from lethe.deletion.intake.app import create_app
    from lethe.deletion.intake.reload import LivePolicy
    from tasks.desk import open_desk

    with open_desk(settings) as desk, socket.create_server(("127.0.0.1", 0)) as listener:
        app = create_app(desk.ledger, LivePolicy(settings), settings)
        config = uvicorn.Config(app, log_config=None, log_level="debug", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(WAIT)


def in_files(folder, *, but=()):
    """Contents of all files below a folder, those inside archives too."""
    left_out = [folder / one for one in but]
    for path in folder.rglob("*"):
        if not path.is_file() or any(path.is_relative_to(one) for one in left_out):
            continue
        yield f"{path.relative_to(folder.parent)} (its name)", str(path).encode()
        yield str(path.relative_to(folder.parent)), path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path}:{name}", archive.read(name)


def in_prefect(since):
    """What Prefect's server tells, and the bytes of its database.

    Other tests before had runs there, whose states are not asked for one by one.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_HOME

    with get_client(sync_client=True) as client:
        for path in ("flow_runs", "task_runs", "logs", "artifacts"):
            found, page = [], None
            while page is None or len(page) == PAGE:
                wanted = {"limit": PAGE, "offset": len(found)}
                page = client.request("POST", f"/{path}/filter", json=wanted).json()
                found += page
            yield f"Prefect's {path}", json.dumps(found).encode()
            if path in {"flow_runs", "task_runs"}:
                kind = path.removesuffix("s")
                for run in found:
                    if datetime.fromisoformat(run["created"]).timestamp() < since:
                        continue
                    states = client.request(
                        "GET", f"/{kind}_states/", params={f"{kind}_id": run["id"]}
                    )
                    yield f"Prefect's states of {path}", states.content
    database = Path(PREFECT_API_DATABASE_CONNECTION_URL.value().partition("///")[2])
    for path in database.parent.glob(f"{database.name}*"):
        yield "Prefect's database", path.read_bytes()
    for path in PREFECT_HOME.value().rglob("*"):
        if path.is_file() and path.stat().st_mtime > since:
            yield "Prefect's home", path.read_bytes()


def in_mlflow():
    """What MLflow tells of runs and versions."""
    from lethe.settings import load_settings
    from model_registry.connection import connect

    client = connect(load_settings())
    every = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = [run.to_dictionary() for run in client.search_runs(every, max_results=1000)]
    versions = [dict(version) for version in client.search_model_versions()]
    models = [dict(model) for model in client.search_registered_models()]
    for name, found in (("runs", runs), ("versions", versions), ("models", models)):
        yield f"MLflow's {name}", json.dumps(found, default=str).encode()


def in_commands(ids):
    """What `lethe requests` prints."""
    from typer.testing import CliRunner

    from cli.main import app

    for words in (["list"], ["list", "--json"], ["letters"], *(["show", one] for one in ids)):
        said = CliRunner().invoke(app, ["requests", *words])
        yield f"lethe requests {' '.join(words)}", f"{said.output} {said.exception}".encode()


def leaks(canaries, places):
    """What was found where."""
    found = {}
    for place, content in places:
        for what in canaries.found(content):
            found.setdefault(what, []).append(place)
    return found


def without_what_is_the_askers_own(answers, got):
    """By OpenDSR an answer holds the request that it answers, and a callback its own address."""
    for place, content in answers.items():
        head, mark, rest = content.partition(b'"encoded_request":"')
        yield place, head + (rest[rest.index(b'"') :] if mark else b"")
    for path, content in got:
        own = b'"status_callback_url":"'
        head, mark, rest = content.partition(own)
        address, _, rest = rest.partition(b'"')
        assert not mark or address.decode().endswith(path)
        yield f"sent to {path[:20]}", head + rest


@pytest.mark.timeout(900)  # of a busy machine
def test_nothing_of_a_person_is_written_anywhere(
    office, project, canaries, tickets, log_file, scratch, capfd
):
    from prefect import flow, get_run_logger
    from prefect.logging.handlers import APILogHandler

    from flows.deletion_requests import deletion_requests
    from flows.unlearn import unlearn
    from lethe.deletion.states import State
    from lethe.errors import LetheError
    from lethe.settings import load_settings
    from model_registry.connection import connect, experiment_id
    from tasks.desk import open_desk

    settings = load_settings()
    errors = {}
    with serving(settings) as port:
        to = Sender(port, canaries)
        send_all(to, canaries.plant, tickets.url, *office)
        result = deletion_requests()
        with open_desk(settings) as desk:
            entries = desk.ledger.find(limit=500)
        ids = [entry.id for entry in entries]
        for entry in entries:
            if entry.state in {State.REJECTED, State.FAILED}:
                with pytest.raises(LetheError) as raised:
                    unlearn(entry.id)
                errors[f"error of {entry.state}"] = repr(raised.getrepr(style="long")).encode()
        look_everywhere(to, canaries.plant, ids)
    states = [entry.state for entry in entries]
    assert {s: states.count(s) for s in set(states)} == {
        State.COMPLETED: 3,
        State.PARTIAL: 1,
        State.FAILED: 1,
        State.REJECTED: 7,
    }
    assert len(result.batches) >= 3

    def everything():
        APILogHandler().flush()
        yield from in_files(project, but=DATA)
        yield from in_files(scratch)
        yield from in_prefect(canaries.since)
        yield from in_mlflow()
        yield from in_commands(ids)
        yield from errors.items()
        yield from without_what_is_the_askers_own(to.answers, tickets.got)
        yield "result of the flow", result.model_dump_json().encode()
        yield "log", log_file.read_bytes()
        said = capfd.readouterr()
        yield "stdout and stderr", (said.out + said.err).encode()

    assert leaks(canaries, everything()) == {}

    # The search would have found them: one that is written on purpose is found in every place.
    control = Canaries()
    word = control.plant("control")

    @flow(name="control")
    def careless(name: str) -> None:
        get_run_logger().warning("This is %s", name)
        sys.stderr.write(name)
        raise ValueError(name)

    with pytest.raises(ValueError, match=word):
        careless(word)
    client = connect(settings)
    client.create_run(experiment_id(client, settings), tags={"who": word})
    logging.getLogger("lethe.intake").debug("This is %s", word)
    with open_desk(settings) as desk:
        desk.ledger.note(ids[0], word, actor="dpo")
    (where,) = leaks(control, everything()).values()
    assert {"Prefect's flow_runs", "MLflow's runs", "log", "stdout and stderr"} <= set(where)
    assert {"project/.lethe/mlflow.db", f"lethe requests show {ids[0]}"} <= set(where)
    assert any("ledger.db" in place for place in where)
    assert any("states of flow_runs" in place for place in where)
    assert "Prefect's logs" in where

"""The settings of an edit: as they were named, or found by a search before it."""

import json
import math
from dataclasses import asdict, replace
from typing import Any

from prefect import task

from lethe.unlearning.method import load_method
from lethe.unlearning.search import Found, Trial, search
from model_registry import tags
from model_registry.connection import connect
from model_registry.run import find_artifact, log_params
from tasks.device import device_slot
from tasks.edit import forget_target
from tasks.policy import IN_MEMORY
from tasks.progress import progress
from tasks.record import Record
from tasks.retraining import NAME as RETRAIN


@task(**IN_MEMORY)
def find_settings(record: Record) -> Record:
    """The record with the settings that it is edited by, which are logged.

    With a budget they are searched. What an earlier attempt at the same run found stands, so that
    what was begun is finished the same way on any machine.

    Raises:
        MethodError: if every trial failed.
    """
    client, budget = connect(record.settings), record.settings.unlearning.search_budget
    if budget > 1 and record.method.name != RETRAIN:
        found = _kept(record) or _searched(record, budget)
        method = load_method(record.method.name, found.options)
        record = replace(record, method=method, search=found if found.trials else None)
    params = {"seed": record.settings.seed, "method": record.method.name}
    log_params(client, record.run_id, {**params, **record.method.model_dump(mode="json")})
    return record


def _searched(record: Record, budget: int) -> Found:
    """Search, and keep what was found as an artifact of the run."""
    way = record.climb.ways[record.at]
    with device_slot(record.device, record.settings.worker), progress("Trying settings") as report:
        found = search(
            way.method,
            record.parent.network,
            forget_target(record),
            record.context(report),
            budget=budget,
            base=way.options,
        )
    plain: dict[str, Any] = asdict(found)
    for trial in plain["trials"]:
        trial["drift"] = trial["drift"] if math.isfinite(trial["drift"]) else None
    connect(record.settings).log_text(
        record.run_id, json.dumps(plain, indent=2, allow_nan=False), tags.SEARCH_FILE
    )
    return found


def _kept(record: Record) -> Found | None:
    path = find_artifact(connect(record.settings), record.run_id, tags.SEARCH_FILE)
    if path is None:
        return None
    plain = json.loads(path.read_text(encoding="utf-8"))
    trials = tuple(
        Trial(**{**one, "drift": math.inf if one["drift"] is None else one["drift"]})
        for one in plain["trials"]
    )
    return Found(plain["options"], trials, plain["seconds"])

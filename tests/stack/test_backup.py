"""Backup, an erasure, everything wiped, restore: records verify, the erasure is replayed."""

import json
import shutil

import pytest

from infra.stack.backup import backup, restore
from infra.stack.config import StackSettings
from infra.stack.demo import follow, lethe
from infra.stack.errors import StackError
from infra.stack.up import start, stop

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(3600)]


def quiet(_):
    pass


@pytest.fixture
def own(stack, tmp_path):
    """The stack's settings and credentials; it is one of its own that may be wiped."""
    settings, credentials = stack
    if settings.home == StackSettings().home:
        pytest.skip("STACK_RUNNING: what make stack started is not wiped")
    return settings, credentials


def test_an_erasure_after_the_backup_is_found_and_done_again(own, tmp_path):
    settings, credentials = own
    lethe(settings, credentials, "data", "prepare", "digits")
    if "digits/1" not in lethe(settings, credentials, "model", "list", "--json"):
        lethe(settings, credentials, "train", "digits")
    before = json.loads(lethe(settings, credentials, "model", "list", "--json"))
    copy = tmp_path / "backup"
    backup(settings, copy, quiet)
    with pytest.raises(StackError, match="is not empty"):
        backup(settings, copy, quiet)

    # ## An erasure after the backup; a copy of the audit log is kept elsewhere
    submit = ("requests", "submit", "digits@champion", "--dataset", "data/digits")
    lethe(settings, credentials, *submit, "--classes", "9", "--ticket", "AFTER-1")
    listed = json.loads(lethe(settings, credentials, "requests", "list", "--json"))
    request = next(one["id"] for one in listed if one["ticket"] == "AFTER-1")
    assert follow(settings, credentials, request, quiet)["state"] == "completed"
    elsewhere = tmp_path / "statements.jsonl"
    shutil.copy(settings.home / "lethe" / "audit" / "statements.jsonl", elsewhere)

    # ## Everything is lost, and restored
    with pytest.raises(StackError, match="runs"):
        restore(settings, copy, quiet)
    stop(settings, quiet)
    shutil.rmtree(settings.home)
    restore(settings, copy, quiet)
    assert start(settings, quiet) == credentials
    assert json.loads(lethe(settings, credentials, "model", "list", "--json")) == before
    lethe(settings, credentials, "audit", "verify")

    # ## The erasure is found, and replayed
    words = ("requests", "replay", str(elsewhere), "--json")
    found = json.loads(lethe(settings, credentials, *words))
    assert [(one["request"], one["fate"]) for one in found] == [(request, "filed again")]
    lethe(settings, credentials, "requests", "process")
    assert follow(settings, credentials, request, quiet)["state"] == "completed"
    lethe(settings, credentials, "audit", "verify")
    after = json.loads(lethe(settings, credentials, "model", "list", "--json"))
    assert len(after) == len(before) + 1

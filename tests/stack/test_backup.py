"""Backup, an erasure, everything wiped, restore: records verify, the erasure is replayed."""

import json
import shutil

import pytest

from infra.stack.backup import backup, restore
from infra.stack.config import StackSettings
from infra.stack.demo import follow, lethe
from infra.stack.errors import StackError
from infra.stack.prepare import ensure_signing_key
from infra.stack.up import start, stop
from lethe.audit.keystore import KeyStore

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


def forget(settings, credentials, klass, ticket):
    """The id of a request for a class that was carried out."""
    submit = ("requests", "submit", "digits@champion", "--dataset", "data/digits")
    lethe(settings, credentials, *submit, "--classes", klass, "--ticket", ticket)
    listed = json.loads(lethe(settings, credentials, "requests", "list", "--json"))
    request = next(one["id"] for one in listed if one["ticket"] == ticket)
    lethe(settings, credentials, "requests", "process")
    assert follow(settings, credentials, request, quiet)["state"] == "completed"
    return request


def test_the_key_of_records_is_there_before_the_first_record_so_each_backup_has_it(own):
    settings, _ = own
    assert KeyStore(settings.home / "lethe" / "audit" / "keys").ring() is not None


def test_where_records_are_signed_elsewhere_no_key_is_made(tmp_path):
    settings = StackSettings(home=tmp_path / "home", project=tmp_path)
    settings.home.mkdir()
    (settings.home / "clients.env").write_text("LETHE_AUDIT__SIGNER=ours:signer\n")
    ensure_signing_key(settings)
    (settings.home / "clients.env").unlink()
    (tmp_path / "lethe.toml").write_text('[audit]\nfolder = "elsewhere"\n')
    ensure_signing_key(settings)
    assert not list(settings.home.iterdir())
    (tmp_path / "lethe.toml").unlink()
    ensure_signing_key(settings)
    assert KeyStore(settings.home / "lethe" / "audit" / "keys").ring() is not None


def test_an_erasure_after_the_backup_is_found_and_done_again(own, tmp_path):
    settings, credentials = own
    lethe(settings, credentials, "data", "prepare", "digits")
    if "digits/1" not in lethe(settings, credentials, "model", "list", "--json"):
        lethe(settings, credentials, "train", "digits")
    known = forget(settings, credentials, "3", "BEFORE-1")
    before = json.loads(lethe(settings, credentials, "model", "list", "--json"))
    copy = tmp_path / "backup"
    backup(settings, copy, quiet)
    with pytest.raises(StackError, match="is not empty"):
        backup(settings, copy, quiet)

    # ## An erasure after the backup; a copy of the audit log is kept elsewhere
    request = forget(settings, credentials, "9", "AFTER-1")
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
    records = lethe(settings, credentials, "audit", "list", "--json")
    assert known in records
    assert request not in records
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
    records = lethe(settings, credentials, "audit", "list", "--json")
    assert known in records
    assert request in records

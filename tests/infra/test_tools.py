"""Pinning by digest, and the audit of dependencies: what they say in each case."""

import importlib.util
import json
import subprocess

import infra_files as files
import pytest


def load(name):
    spec = importlib.util.spec_from_file_location(name, files.INFRA / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pin = load("pin")
audit = load("audit")
DIGEST = "sha256:" + "ab" * 32


def test_every_image_of_others_is_found():
    found = {tag for file in pin.files() for tag in pin.unpinned(file.read_text("utf-8"))}
    pinned = {m["tag"] for f in pin.files() for m in pin.IMAGE.finditer(f.read_text("utf-8"))}
    assert pinned >= found
    assert {tag.partition(":")[0] for tag in pinned} == {
        "grafana/grafana", "nginxinc/nginx-unprivileged", "postgres", "prom/prometheus", "python"
    }  # fmt: skip


@pytest.mark.parametrize("file", pin.files(), ids=lambda file: file.name)
def test_pinning_puts_digests_behind_tags_and_renews_them(file):
    text = file.read_text("utf-8")
    once = pin.pinned(text, lambda tag: DIGEST)
    assert pin.unpinned(once) == []
    assert once.replace(f"@{DIGEST}", "") == pin.pinned(text, lambda tag: DIGEST).replace(
        f"@{DIGEST}", ""
    )
    newer = "sha256:" + "cd" * 32
    assert pin.pinned(once, lambda tag: newer) == once.replace(DIGEST, newer)
    assert "lethe-server@" not in once


def test_what_is_no_digest_is_not_written():
    with pytest.raises(ValueError, match="has no digest"):
        pin.pinned("FROM python:3.11.15-slim-trixie AS base", lambda tag: "")


def answer(dependencies=None, *, text=None):
    out = json.dumps({"dependencies": dependencies}) if text is None else text
    return lambda: subprocess.CompletedProcess([], 0, out, "")


SOUND = {"name": "sound", "version": "1", "vulns": []}
HURT = {
    "name": "hurt", "version": "2",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "fix_versions": ["3"]}],
}  # fmt: skip


def test_clean_is_said_only_where_somebody_was_asked():
    code, text = audit.audit(answer([SOUND]), [])
    assert (code, text) == (audit.CLEAN, "Audited 1 packages: 0 known vulnerabilities")


def test_what_is_known_fails_and_is_named():
    code, text = audit.audit(answer([SOUND, HURT]), [])
    assert code == audit.KNOWN
    assert "hurt 2: PYSEC-1, mended in 3" in text


@pytest.mark.parametrize("accepted", ["PYSEC-1", "CVE-2026-1"])
def test_what_was_accepted_does_not_fail(accepted):
    assert audit.audit(answer([HURT]), [accepted])[0] == audit.CLEAN


def dead():
    raise subprocess.TimeoutExpired("pip-audit", 1)


UNREACHED = [
    answer(text=""), answer(text="ERROR: no network"), answer([]), answer(text='{"other": 1}'),
    answer([{"name": "x", "skip_reason": "unknown"}]), dead,
]  # fmt: skip


@pytest.mark.parametrize("asked", UNREACHED)
def test_no_answer_is_never_a_silent_pass(asked):
    code, text = audit.audit(asked, [])
    assert code == audit.UNREACHED
    assert text.startswith("NOT AUDITED")


def test_where_there_is_no_network_ci_goes_on_and_says_so():
    code, text = audit.audit(UNREACHED[0], [], unreached_ok=True)
    assert code == audit.CLEAN
    assert text.startswith("NOT AUDITED")
    assert audit.audit(answer([HURT]), [], unreached_ok=True)[0] == audit.KNOWN


def test_what_the_database_does_not_know_is_told():
    _, text = audit.audit(answer([SOUND, {"name": "ours", "skip_reason": "not found"}]), [])
    assert "Not audited, for they are not in the database: ours" in text


def test_what_is_accepted_has_a_reason():
    assert audit.accepted_ids("# why\nPYSEC-1 not reached by us\n") == ["PYSEC-1"]
    with pytest.raises(ValueError, match="without a reason"):
        audit.accepted_ids("PYSEC-1\n")
    audit.accepted_ids(audit.ACCEPTED.read_text("utf-8"))


def test_ci_runs_the_audit():
    assert "make audit" in files.read(files.ROOT / ".ci" / "run")
    assert "infra/audit.py" in files.read(files.ROOT / "Makefile")

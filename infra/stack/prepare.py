"""What each server needs before others can use it; all of it does nothing twice."""

import subprocess
import sys
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx

from infra.stack.config import ROOT, StackSettings
from infra.stack.errors import StackError
from infra.stack.programs import (
    BIN,
    BUCKETS,
    MLFLOW_USER,
    _database,
    client_environment,
    extra,
    policy_secrets,
)
from infra.stack.secrets import credentials_file, write_private
from infra.stack.tls import authority, trust
from lethe.audit.keystore import KeyStore

# Without the cache MLflow hashes the password for every call, which is most of what a call costs.
AUTH = """[mlflow]
default_permission = READ
database_uri = {database}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 30
"""
POLICY = """# Made by `make stack` for a first try; a policy.toml of the project takes its place.
version = "stack"

[approval]
approvers = ["operator"]
needed = 1

[models."*"]
at_once = true
promote = true

[sources.cli]
kind = "cli"
models = ["*"]
datasets = ["*"]

# The demo's tickets: issues as GitHub sends them, answered to a stand-in for GitHub.
[sources.tickets]
kind = "github"
secrets = ["env:WEBHOOK_SECRET"]
models = ["{model}"]
datasets = ["data/digits"]
selections = ["classes"]
file_when = "action == 'labeled' && label.name == 'data-deletion'"
[sources.tickets.fields]
model = "form.model"
dataset = "form.data_set"
classes = "split(form.classes)"
"""
ANSWER = """[sources.tickets.answer]
api = "{tickets}"
token = "env:TICKETS_TOKEN"
close = true
"""
WHO = """
[[tokens]]
name = "operator"
secret = "env:OPERATOR_TOKEN"
actor = "operator"
may = ["read", "approve", "operate"]
"""


def sample_policy(
    settings: StackSettings, *, model: str = "digits@champion", answered: bool = True
) -> str:
    """A policy for a first try: tickets for one model, or "*", are carried out at once."""
    answer = ANSWER.replace("{tickets}", settings.tickets_url) if answered else ""
    return POLICY.replace("{model}", model) + answer + WHO


def write_files(settings: StackSettings) -> None:
    """Folders and files that programs read when they start."""
    for folder in (settings.run, settings.logs, settings.home / "s3", settings.home / "lethe"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("", "server", "client"):
        (settings.home / "prefect" / name).mkdir(exist_ok=True, mode=0o700)
    database = _database(settings, "postgresql+psycopg", "mlflow").rpartition("/")[0]
    write_private(settings.run / "mlflow-auth.ini", AUTH.format(database=f"{database}/mlflow_auth"))
    write_private(settings.run / "rclone.conf", "")
    sample = settings.home / "policy.toml"
    if not sample.exists():
        write_private(sample, sample_policy(settings))


def ensure_signing_key(settings: StackSettings) -> None:
    """Make the key of records, unless the settings name another signer or folder.

    It would be made with the first record. A backup from before that would lack it, and nothing
    that was signed since could be believed after a restore.
    """
    file = settings.project / "lethe.toml"
    audit = (
        tomllib.loads(file.read_text(encoding="utf-8")).get("audit", {}) if file.exists() else {}
    )
    named = {f"LETHE_AUDIT__{name.upper()}" for name in audit} | extra(settings).keys()
    if named & {f"LETHE_AUDIT__{name}" for name in ("KEY", "SIGNER", "FOLDER")}:
        return
    store = KeyStore(settings.home / "lethe" / "audit" / "keys")
    if store.ring() is None:
        store.init(datetime.now(UTC))


def ensure_buckets(settings: StackSettings, credentials: Mapping[str, str]) -> None:
    """Make the buckets that are missing."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=settings.url(settings.s3_port),
        aws_access_key_id=credentials["S3_LETHE_KEY"],
        aws_secret_access_key=credentials["S3_LETHE_SECRET"],
        region_name="us-east-1",
        verify=str(authority(settings)) if settings.tls else None,
    )
    known = {one["Name"] for one in client.list_buckets()["Buckets"]}
    for name in set(BUCKETS) - known:
        client.create_bucket(Bucket=name)


def ensure_mlflow_user(settings: StackSettings, credentials: Mapping[str, str]) -> None:
    """Make the account that Lethe uses, which administers nothing but what it made itself.

    Raises:
        StackError: if MLflow refuses.
    """
    word = credentials["MLFLOW_LETHE_PASSWORD"]
    api = f"{settings.url(settings.mlflow_port)}/api/2.0/mlflow/users"
    auth = ("admin", credentials["MLFLOW_ADMIN_PASSWORD"])
    with httpx.Client(auth=auth, timeout=30, verify=trust(settings)) as client:
        made = client.post(f"{api}/create", json={"username": MLFLOW_USER, "password": word})
        if made.status_code == 200 or "RESOURCE_ALREADY_EXISTS" in made.text:
            return
        raise StackError(f"MLflow made no account: {made.status_code} {made.text[:300]}")


def ensure_deployments(settings: StackSettings, credentials: Mapping[str, str]) -> None:
    """Work pools from their templates, the deployments of the project's prefect.yaml."""
    templates = ROOT / "infra" / "templates"
    for pool in ("cpu", "gpu"):
        made = ("--type", "process", "--base-job-template", str(templates / "process.json"))
        _prefect(settings, credentials, "work-pool", "create", pool, *made, "--overwrite")
    _prefect(settings, credentials, "--no-prompt", "deploy", "--all")
    if settings.notify_url is not None:
        ensure_automations(settings, credentials, settings.notify_url)


def ensure_automations(
    settings: StackSettings, credentials: Mapping[str, str], address: str
) -> None:
    """Who is told when a run fails or a request is late.

    Raises:
        StackError: if Prefect refuses.
    """
    done = subprocess.run(
        [sys.executable, "-m", "infra.stack.automations"],
        cwd=ROOT,
        env=run_environment(settings, credentials)
        | {"STACK_NOTIFY_URL": address, "PWD": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackError(f"No automations were made: {done.stderr[-800:]}")


def run_environment(settings: StackSettings, credentials: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command of a person who uses the stack."""
    import os

    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LETHE_", "PREFECT_", "PG"))}
    made = client_environment(settings, credentials) | policy_secrets(credentials)
    path = f"{BIN}{os.pathsep}{kept.get('PATH', '')}"
    return kept | made | {"PATH": path, "PWD": str(settings.project)}


def write_client_file(settings: StackSettings, credentials: Mapping[str, str]) -> None:
    """The same as a file, for shells and editors."""
    made = client_environment(settings, credentials) | policy_secrets(credentials)
    text = "".join(f"export {name}='{value}'\n" for name, value in made.items())
    write_private(credentials_file(settings).with_name("client.sh"), text)


def _prefect(settings: StackSettings, credentials: Mapping[str, str], *words: str) -> None:
    done = subprocess.run(
        [str(BIN / "prefect"), *words],
        cwd=settings.project,
        env=run_environment(settings, credentials),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackError(
            f"prefect {' '.join(words[:2])} failed: {(done.stdout + done.stderr)[-800:]}"
        )

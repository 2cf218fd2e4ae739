"""Whether MLflow still says what the signed records say: versions, weights, tags, runs."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lethe.audit.checks import Check, not_checked, ok, wrong
from lethe.audit.predicate import Predicate, Version
from lethe.errors import LetheError
from lethe.models.weights import FILE_NAME, file_digest
from model_registry import tags
from model_registry.pull import download, served_file
from model_registry.version import parse_number

if TYPE_CHECKING:
    from mlflow import MlflowClient


def check_in_mlflow(
    client: "MlflowClient", record: str, said: Predicate, digest: str
) -> Iterator[Check]:
    """Compare one record with the registry.

    Args:
        client: the registry.
        record: how messages call the record.
        said: its predicate.
        digest: SHA-256 of its statement.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield from _run(client, record, said, digest)
        if said.successor is not None:
            yield from _version(client, record, said, said.successor, digest)
            yield from _files(record, said.successor)
    except (MlflowException, LetheError) as error:
        yield _unreadable(record, error)


def unrecorded(client: "MlflowClient", known: set[str]) -> Iterator[Check]:
    """Edits and quarantines, by what they say of themselves, of which the trail has no record."""
    for found in chain.from_iterable(
        client.search_model_versions(f"tags.`{tags.ORIGIN}` = '{origin}'")
        for origin in ("unlearned", "quarantined")
    ):
        name, digest = f"models:/{found.name}/{found.version}", found.tags.get(tags.STATEMENT)
        if digest is None:
            words = "it has no statement: the run that made it was cut short"
            yield not_checked("recorded", name, words)
        elif digest not in known:
            yield wrong("recorded", name, f"its statement {digest[:16]} is not in the trail")
        else:
            yield ok("recorded", name)


def _run(client: "MlflowClient", record: str, said: Predicate, digest: str) -> Iterator[Check]:
    run = client.get_run(said.run_id)
    wanted = {tags.VERDICT: said.verdict, tags.STATEMENT: digest}
    yield _tags("run tags", record, f"run {said.run_id}", run.data.tags, wanted)


def _version(
    client: "MlflowClient", record: str, said: Predicate, version: Version, digest: str
) -> Iterator[Check]:
    ref = parse_number(version.uri.removeprefix("models:/"))
    found = client.get_model_version(ref.name, str(ref.number))
    wanted = {
        tags.VERDICT: said.verdict,
        tags.STATEMENT: digest,
        tags.PARENT: said.parent.uri.removeprefix("models:/"),
        tags.WEIGHTS: version.weights_sha256,
        tags.FORGET_DIGEST: said.data.set_digest,
        tags.DVC_MD5: said.data.dvc_md5,
        tags.GIT_REV: said.data.git_rev,
    }
    if version.served_sha256 is not None:
        wanted[tags.SERVED] = version.served_sha256
    yield _tags("version tags", record, str(ref), found.tags, wanted)
    if found.run_id != said.run_id:
        yield wrong("version tags", record, f"{ref} belongs to run {found.run_id} in MLflow")


def _files(record: str, version: Version) -> Iterator[Check]:
    ref = parse_number(version.uri.removeprefix("models:/"))
    with TemporaryDirectory(prefix="lethe-verify-") as folder:
        files = download(ref, Path(folder))
        found = file_digest(files / "extra_files" / FILE_NAME)
        yield _equal("weights", record, f"the weights of {ref}", found, version.weights_sha256)
        if version.served_sha256 is not None:
            found = file_digest(served_file(files))
            what = f"the file that MLflow serves for {ref}"
            yield _equal("served file", record, what, found, version.served_sha256)


def _equal(what: str, record: str, thing: str, found: str, said: str) -> Check:
    if found == said:
        return ok(what, record)
    return wrong(what, record, f"{thing} has SHA-256 {found[:16]}…, not {said[:16]}…")


def _tags(
    what: str, record: str, thing: str, found: dict[str, str], wanted: dict[str, str]
) -> Check:
    other = sorted(key for key, value in wanted.items() if found.get(key) != value)
    if not other:
        return ok(what, record)
    return wrong(what, record, f"{thing} has another value, or none, for {', '.join(other)}")


def _unreadable(record: str, error: Exception) -> Check:
    code = getattr(error, "error_code", "")
    if code in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}:
        return wrong("in MLflow", record, "what it names is not in MLflow any more")
    return not_checked("in MLflow", record, f"MLflow did not answer ({type(error).__name__})")

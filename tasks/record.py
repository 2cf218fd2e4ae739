"""Everything a batch's steps share, and the MLflow run that records them."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lethe.data.forget_set import ForgetSet
from lethe.deletion.ledger.types import Batch
from lethe.settings import Settings
from lethe.unlearning.method import Context, Method, Progress
from lethe.unlearning.search import Found
from model_registry import tags
from model_registry.connection import connect, experiment_id
from model_registry.lineage import DatasetUse, log_dataset_uses
from model_registry.pull import PulledVersion
from model_registry.run import unlearning_run
from tasks.device import ready_device
from tasks.earlier import Earlier
from tasks.ladder import Climb

MIB = 1024 * 1024
LISTED_REQUESTS = 20
LISTED_CLASSES = 10
MAX_RUN_TAG = 8000  # mlflow/utils/validation.py; the version's own tag holds 100,000


@dataclass(frozen=True)
class Record:
    """A batch on its way: who asked, what is edited, what is forgotten, where it is noted.

    `measured` is the same selection in the data set that is measured on, mostly the forget set's
    own. `earlier` is what the parent's line forgot before. `classes` names the model's logits in
    order; `folder` holds the artifacts until they are logged and is removed afterwards. `climb` is
    the ladder, of which this is step `at`; `search` is how the method's settings were found.
    """

    settings: Settings
    batch: Batch
    method: Method
    parent: PulledVersion
    forget: ForgetSet
    measured: ForgetSet
    classes: tuple[str, ...]
    earlier: Earlier
    device: torch.device
    run_id: str
    experiment_id: str
    folder: Path
    started: datetime
    climb: Climb
    at: int
    search: Found | None = None

    @property
    def forgotten(self) -> tuple[int, ...]:
        """Label indices of the classes to forget and of those forgotten before.

        Empty for subject and sample requests.
        """
        if self.forget.kind != "class":
            return ()
        names = {*self.forget.class_names, *self.earlier.classes}
        return tuple(index for index, name in enumerate(self.classes) if name in names)

    @property
    def earlier_classes(self) -> tuple[str, ...]:
        """Classes that the line forgot before and that are not asked for again."""
        return tuple(n for n in self.earlier.classes if n not in self.forget.class_names)

    @property
    def memory_budget(self) -> int:
        """Bytes that one set of rows may take in memory."""
        return self.settings.data.memory_budget_mib * MIB

    @property
    def forgot(self) -> str:
        """What is forgotten in words, without ids: `class 3` or `412 rows of 1 subject`."""
        return describe(self.forget)

    def context(self, progress: Progress) -> Context:
        """Where and how a method runs."""
        card = self.parent.card() if self.method.needs == "stored_statistics" else None
        return Context(self.device, self.settings.seed, progress, card)


def deciding_tags(
    settings: Settings, batch: Batch, parent: PulledVersion, method: Method, forget: ForgetSet
) -> dict[str, str]:
    """Tags that are equal when, and only when, the same work is done for the same requests."""
    return {
        tags.REQUEST: request_tag([entry.id for entry in batch.entries]),
        tags.PARENT: str(parent.ref),
        tags.METHOD_KEY: method_key(settings, method),
        tags.FORGET_DIGEST: forget.set_digest,
    }


@contextmanager
def open_record(
    settings: Settings,
    batch: Batch,
    parent: PulledVersion,
    method: Method,
    *,
    forget: ForgetSet,
    measured: ForgetSet,
    earlier: Earlier,
    climb: Climb,
    at: int,
) -> Iterator[Record]:
    """Open the run that records step `at` of a batch's ladder, and close it when the block ends."""
    device = ready_device(settings)  # before there is anything to undo
    client = connect(settings)
    run_tags = {
        **deciding_tags(settings, batch, parent, method, forget),
        tags.BATCH: batch.id,
        tags.REQUESTS: str(len(batch.entries)),
        tags.GATES_KEY: gates_key(settings),
        tags.ORIGIN: "unlearned",
        tags.METHOD: method.name,
        tags.RUNG: f"{at + 1} of {len(climb.ways)}",
        tags.BECAUSE: climb.ways[at].because,
        tags.FORGET_KIND: forget.kind,
        tags.FORGET_ROWS: str(forget.count),
        tags.DATASET: forget.spec.dataset,
        tags.DVC_MD5: forget.dvc_md5,
        tags.GIT_REV: forget.git_rev,
    }
    forgotten = forgotten_tag(forget)
    if forget.kind == "class" and len(forgotten) <= MAX_RUN_TAG:
        run_tags[tags.FORGOTTEN] = forgotten
    name = f"{parent.ref.name} forgets {describe(forget)}"
    with (
        unlearning_run(client, settings, name=name, run_tags=run_tags) as run_id,
        TemporaryDirectory(prefix="lethe-run-") as folder,
    ):
        client.log_text(run_id, climb.model_dump_json(indent=2), tags.LADDER_FILE)
        log_dataset_uses(client, run_id, list(_uses(forget, measured)), parent.model_id)
        yield Record(
            settings=settings,
            batch=batch,
            parent=parent,
            method=method,
            forget=forget,
            measured=measured,
            classes=parent.facts.classes or forget.info.classes,
            earlier=earlier,
            device=device,
            run_id=run_id,
            experiment_id=experiment_id(client, settings),
            folder=Path(folder),
            started=datetime.now(UTC),
            climb=climb,
            at=at,
        )


def request_tag(ids: Sequence[str]) -> str:
    """The ids of a run's requests, or their number and digest where there are many.

    MLflow's run tags hold 8,000 characters; the statement lists every id.
    """
    if len(ids) <= LISTED_REQUESTS:
        return " ".join(sorted(ids))
    digest = hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
    return f"{len(ids)} requests, sha256:{digest}"


def forgotten_tag(forget: ForgetSet) -> str:
    """The classes that are forgotten, as a JSON list."""
    return json.dumps(forget.class_names, ensure_ascii=False)


def gates_key(settings: Settings) -> str:
    """SHA-256 over the thresholds that a decision was made by."""
    return hashlib.sha256(settings.gates.model_dump_json().encode()).hexdigest()


def method_key(settings: Settings, method: Method) -> str:
    """SHA-256 over what decides the outcome of an edit beside parent and data.

    Where settings are searched, the method is the one that the search begins with.
    """
    facts: list[object] = [method.name, method.model_dump(mode="json"), settings.seed]
    if settings.unlearning.search_budget > 1 and getattr(method, "searches", None):
        facts.append(settings.unlearning.search_budget)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def describe(forget: ForgetSet) -> str:
    """A forget set in words, without ids."""
    if forget.kind != "class":
        noun = "the rows of some people" if forget.kind == "subject" else "single rows"
        return f"{forget.count} training rows ({noun})"
    if len(forget.class_names) > LISTED_CLASSES:
        return f"{len(forget.class_names)} classes"
    names = ", ".join(forget.class_names)
    return f"class {names}" if len(forget.class_names) == 1 else f"classes {names}"


def _uses(forget: ForgetSet, measured: ForgetSet) -> Iterator[DatasetUse]:
    """The forget set and the held-out rows that are measured, as MLflow data set inputs."""
    roles = (
        ("forget", forget, forget.count),
        ("evaluation", measured, measured.held_out_total or measured.total),
    )
    for context, one, rows in roles:
        yield DatasetUse(
            name=f"{one.info.name} ({context})",
            context=context,
            repository=one.repository,
            path=one.spec.dataset,
            git_rev=one.git_rev,
            dvc_md5=one.dvc_md5,
            rows=rows,
        )

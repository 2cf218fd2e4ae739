"""Everything a request's steps share, and the MLflow run that records them."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lethe.data.forget_set import ForgetSet
from lethe.deletion.request import DeletionRequest
from lethe.models.device import pick_device
from lethe.settings import Settings
from lethe.unlearning.method import Context, Method, Progress
from model_registry import tags
from model_registry.connection import connect, experiment_id
from model_registry.lineage import DatasetUse, forgotten_classes, log_dataset_uses
from model_registry.pull import PulledVersion
from model_registry.run import log_params, unlearning_run

MIB = 1024 * 1024


@dataclass(frozen=True)
class Record:
    """One request on its way: who asked, what is edited, what is forgotten, where it is noted.

    `measured` is the same selection in the data set that is measured on, mostly the forget set's
    own. `earlier` names classes that the parent's line forgot before. `classes` names the model's
    logits in order; `folder` holds the artifacts until they are logged and is removed afterwards.
    """

    settings: Settings
    request: DeletionRequest
    method: Method
    parent: PulledVersion
    forget: ForgetSet
    measured: ForgetSet
    classes: tuple[str, ...]
    earlier: tuple[str, ...]
    device: torch.device
    run_id: str
    experiment_id: str
    folder: Path
    started: datetime

    @property
    def forgotten(self) -> tuple[int, ...]:
        """Label indices of the classes to forget and of those forgotten before.

        Empty for subject and sample requests.
        """
        if self.forget.kind != "class":
            return ()
        names = {*self.forget.class_names, *self.earlier}
        return tuple(index for index, name in enumerate(self.classes) if name in names)

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
        return Context(device=self.device, seed=self.settings.seed, progress=progress)


@contextmanager
def open_record(
    settings: Settings,
    request: DeletionRequest,
    parent: PulledVersion,
    method: Method,
    *,
    forget: ForgetSet,
    measured: ForgetSet,
) -> Iterator[Record]:
    """Open the run that records a request, and close it when the block ends."""
    client = connect(settings)
    run_tags = {
        tags.REQUEST: request.id,
        tags.PARENT: str(parent.ref),
        tags.ORIGIN: "unlearned",
        tags.METHOD: method.name,
        tags.METHOD_KEY: method_key(settings, method),
        tags.FORGET_KIND: forget.kind,
        tags.FORGET_DIGEST: forget.set_digest,
        tags.FORGET_ROWS: str(forget.count),
        tags.DATASET: forget.spec.dataset,
        tags.DVC_MD5: forget.dvc_md5,
        tags.GIT_REV: forget.git_rev,
    }
    if forget.kind == "class":
        run_tags[tags.FORGOTTEN] = json.dumps(forget.class_names, ensure_ascii=False)
    name = f"{parent.ref.name} forgets {describe(forget)}"
    with (
        unlearning_run(client, settings, name=name, run_tags=run_tags) as run_id,
        TemporaryDirectory(prefix="lethe-run-") as folder,
    ):
        params = {"seed": settings.seed, "method": method.name, **method.model_dump(mode="json")}
        log_params(client, run_id, params)
        log_dataset_uses(client, run_id, list(_uses(forget, measured)), parent.model_id)
        yield Record(
            settings=settings,
            request=request,
            method=method,
            parent=parent,
            forget=forget,
            measured=measured,
            classes=parent.facts.classes or forget.info.classes,
            earlier=tuple(
                name
                for name in forgotten_classes(client, parent.ref)
                if name not in forget.class_names
            ),
            device=pick_device(settings.device),
            run_id=run_id,
            experiment_id=experiment_id(client, settings),
            folder=Path(folder),
            started=datetime.now(UTC),
        )


def method_key(settings: Settings, method: Method) -> str:
    """SHA-256 over what decides the outcome of an edit beside parent and data."""
    facts = [method.name, method.model_dump(mode="json"), settings.seed]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def describe(forget: ForgetSet) -> str:
    """A forget set in words, without ids."""
    if forget.kind != "class":
        noun = "the rows of some people" if forget.kind == "subject" else "single rows"
        return f"{forget.count} training rows ({noun})"
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

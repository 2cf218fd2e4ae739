"""What is checked and fetched before any work: request, method, parent, forget set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import task

from lethe.data.forget_set import ForgetSet
from lethe.data.forget_set import resolve_forget_set as resolve
from lethe.data.prepare import ensure_prepared
from lethe.deletion.request import DeletionRequest, file_request, read_request
from lethe.errors import ForgetSetError, ModelError
from lethe.keys import record_key
from lethe.settings import Settings
from lethe.unlearning.method import Method, check_can_forget, load_method
from model_registry.connection import connect
from model_registry.pull import PulledVersion, pull_version
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY


@task(**IN_MEMORY)
def prepare_data(settings: Settings, name: str) -> bool:
    """Make a data set that ships with the project; whether it was there already."""
    return ensure_prepared(name, root=Path.cwd(), home=settings.state, mirror=settings.data.mirror)


@task(**IN_MEMORY)
def file_deletion(settings: Settings, request: DeletionRequest) -> DeletionRequest:
    """Keep a deletion request until it is carried out."""
    return file_request(settings.state, request)


@task(**IN_MEMORY)
def take_request(settings: Settings, request_id: str) -> DeletionRequest:
    """Read a filed request."""
    return read_request(settings.state, request_id)


@task(**IN_MEMORY)
def check_method(settings: Settings, name: str | None, options: Mapping[str, Any] | None) -> Method:
    """Find the method and check its settings."""
    own = name is None or name == settings.unlearning.method
    if options is None and own:
        options = settings.unlearning.options
    return load_method(name or settings.unlearning.method, options)


@task(**SAFE_TO_RETRY)
def pull_parent(settings: Settings, request: DeletionRequest) -> PulledVersion:
    """Download, check and rebuild the version that is to forget."""
    return pull_version(connect(settings), request.model, settings)


@task(**SAFE_TO_RETRY)
def resolve_forget_set(
    settings: Settings, request: DeletionRequest, parent: PulledVersion, method: Method
) -> ForgetSet:
    """Pin the forget set to a commit, count it, and check that method and model can forget it."""
    forget = resolve(
        request.forget, max_share=settings.data.max_share, key=record_key(settings.state)
    )
    check_can_forget(method, forget.kind)
    check_classes(parent, forget)
    return forget


@task(**SAFE_TO_RETRY)
def resolve_evaluation_set(
    settings: Settings, request: DeletionRequest, forget: ForgetSet
) -> ForgetSet:
    """The same selection in the data set to measure on, at the same commit."""
    return evaluation_set(settings, request, forget)


def evaluation_set(settings: Settings, request: DeletionRequest, forget: ForgetSet) -> ForgetSet:
    """The forget set itself, or its selection in the data set that the request names for it."""
    if request.evaluation is None:
        return forget
    spec = request.forget.model_copy(
        update={"dataset": request.evaluation, "whole": False, "rev": forget.git_rev}
    )
    return resolve(spec, max_share=1.0, key=record_key(settings.state))


def check_classes(parent: PulledVersion, forget: ForgetSet) -> None:
    """Refuse a forget set that is not about what the model predicts.

    Raises:
        ModelError: if the model does not say which class each logit is for.
        ForgetSetError: if a class to forget is not among the model's.
    """
    classes = parent.facts.classes or forget.info.classes
    outputs = parent.packaging.signature and parent.packaging.signature.outputs
    logits = outputs.inputs[0].shape[-1] if outputs is not None else len(classes)
    if len(classes) != logits:
        raise ModelError(
            f"{parent.ref} has {logits} outputs, but {len(classes)} class names are known. "
            f"Nothing was changed. Name one class per output: "
            f"`lethe model adopt {parent.ref} --factory MODULE:CALLABLE --classes A,B,…`."
        )
    strange = sorted(set(forget.class_names) - set(classes)) if forget.kind == "class" else []
    if strange:
        raise ForgetSetError(
            f"{parent.ref} does not predict {', '.join(strange)}; it predicts "
            f"{', '.join(classes)}. Nothing was changed. Name the model the data was used for."
        )

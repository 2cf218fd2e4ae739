"""What is checked and fetched before any work: parent, forget set, method."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from lethe.choosing import AUTO
from lethe.data.forget_set import ForgetSet
from lethe.data.forget_set import resolve_forget_set as resolve
from lethe.data.prepare import ensure_prepared
from lethe.data.union import merge
from lethe.deletion.ledger.types import Batch
from lethe.deletion.request import DeletionRequest
from lethe.errors import ForgetSetError, MethodError, ModelError
from lethe.keys import record_key
from lethe.settings import Settings
from lethe.unlearning.method import Method, check_can_forget, load_method
from model_registry.connection import connect
from model_registry.lineage import beneath, newest_of_line
from model_registry.pull import PulledVersion, pull_version
from model_registry.version import find_version
from tasks.earlier import Earlier
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY
from tasks.retraining import NAME as RETRAIN
from tasks.retraining import Retraining, check_can_retrain

if TYPE_CHECKING:
    from mlflow import MlflowClient

PRUNE = "prune"


@task(**IN_MEMORY)
def prepare_data(settings: Settings, name: str) -> bool:
    """Make a data set that ships with the project; whether it was there already."""
    return ensure_prepared(name, root=Path.cwd(), home=settings.state, mirror=settings.data.mirror)


@task(**IN_MEMORY)
def check_method(
    settings: Settings, name: str | None, options: Mapping[str, Any] | None
) -> Method | None:
    """Find the method and check its settings; None for `auto`, which stands for others.

    Raises:
        MethodError: if there is no such method, or it does not accept the options.
    """
    named = name or settings.unlearning.method
    if options is None and named == settings.unlearning.method:
        options = settings.unlearning.options
    if named != AUTO:
        return load_way(named, options)
    if options:
        raise MethodError(
            "The method `auto` chooses methods and has no options of its own. Nothing was changed. "
            "Leave them out, or name the method that they are for with --method."
        )
    return None


def load_way(name: str, options: Mapping[str, Any] | None) -> Method:
    """An installed method with these options, or retraining.

    Raises:
        MethodError: if there is no such method, or it does not accept the options.
    """
    if name == RETRAIN:
        return Retraining.model_validate(dict(options or {}))
    return load_method(name, options)


@task(**SAFE_TO_RETRY)
def pull_parent(settings: Settings, model: str, *, newest: bool = False) -> PulledVersion:
    """Download, check and rebuild the version that is to forget.

    Never a quarantine: an edit begins with the version under it.

    Args:
        settings: where the registry is.
        model: NAME@ALIAS or NAME/NUMBER.
        newest: if the alias has an unpromoted successor, take that one: who edits unattended must
            not make a sibling that lacks what the candidate forgot.
    """
    client = connect(settings)
    reference = newest_of_line(client, model) if newest else model
    parent = pull_version(client, _beneath(client, reference), settings)
    parent.card()  # a successor is given it; one that was replaced is found out before any work
    return parent


def _beneath(client: "MlflowClient", reference: str) -> str:
    ref, _ = find_version(client, reference)
    under = beneath(client, ref)
    return reference if under == ref else str(under)


@task(**SAFE_TO_RETRY)
def resolve_forget_set(settings: Settings, batch: Batch, parent: PulledVersion) -> ForgetSet:
    """Join what the batch's requests select, pin it to a commit, and count it.

    Raises:
        ForgetSetError: if it is empty, too much, or not about what the model predicts.
    """
    specs = [entry.request.forget for entry in batch.entries]
    selections = [spec.selection for spec in specs if spec.selection is not None]
    everything = merge(selections) if len(selections) == len(specs) else None
    forget = resolve(
        specs[0].model_copy(update={"selection": everything}),
        max_share=settings.data.max_share,
        key=record_key(settings.record_key_file),
        # Which ids are missing was counted per request before, where a policy is at work.
        missing_ok=all(entry.facts.missing is not None for entry in batch.entries),
    )
    check_classes(parent, forget)
    return forget


@task(**SAFE_TO_RETRY)
def resolve_evaluation_set(settings: Settings, batch: Batch, forget: ForgetSet) -> ForgetSet:
    """The same selection in the data set to measure on, at the same commit."""
    return evaluation_set(settings, batch.entries[0].request, forget)


def evaluation_set(settings: Settings, request: DeletionRequest, forget: ForgetSet) -> ForgetSet:
    """The forget set itself, or its selection in the data set that the request names for it."""
    if request.evaluation is None:
        return forget
    spec = forget.spec.model_copy(
        update={"dataset": request.evaluation, "whole": False, "rev": forget.git_rev}
    )
    return resolve(spec, max_share=1.0, key=record_key(settings.record_key_file), missing_ok=True)


def check_way(parent: PulledVersion, forget: ForgetSet, method: Method, earlier: Earlier) -> None:
    """Refuse a method that cannot do what is asked.

    Raises:
        MethodError: if it does not forget this kind of selection, or learns from retained rows
            and would bring back what the line forgot before.
        ModelError: if it is to retrain a parent that does not say how it was trained.
    """
    check_can_forget(method, forget.kind)
    check_can_patch(parent, method)
    if method.needs != "retain":
        return
    refused = f"{parent.ref} cannot be edited by {method.name!r}, which learns from retained rows"
    if method.name == RETRAIN:
        check_can_retrain(parent)
        refused = f"{parent.ref} cannot be retrained"
    if earlier.gone:
        raise MethodError(
            f"{refused}: what {earlier.gone} of the requests selected that its line carried out "
            f"before is no longer kept, so it would be learned again. Nothing was registered. "
            f"Name another method, or train a new model without that data."
        )
    if not may_learn_from_retained(forget, earlier):
        raise MethodError(
            f"{refused}: what it, or a version before it, forgot is not selected from "
            f"{forget.spec.dataset} and would be learned again. Nothing was registered. "
            f"Name another method, or train a new model without that data."
        )


def may_learn_from_retained(forget: ForgetSet, earlier: Earlier) -> bool:
    """Whether nothing that was to be forgotten, now or before, is among the retained rows."""
    return not earlier.gone and not forget.spec.whole and earlier.can_be_left_out(forget.spec)


def check_can_patch(parent: PulledVersion, method: Method) -> None:
    """Refuse a patch on a pickled version: whoever serves it would need Lethe installed.

    Raises:
        MethodError: if the method patches, and the parent is stored as a pickle.
    """
    if method.name == PRUNE and parent.packaging.serialization_format == "pickle":
        raise MethodError(
            f"{parent.ref} is stored as a pickle, and a patched one could be loaded only where "
            f"Lethe is installed. Nothing was registered. Log it with "
            f'`serialization_format="pt2"` and adopt that: `lethe model adopt`.'
        )


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

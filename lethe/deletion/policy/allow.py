"""What a source may name. Patterns are those of `fnmatch`: `*` stands for any text, `/` too."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from lethe.data.forget_spec import ForgetSpec
from lethe.deletion.policy.model import Policy
from lethe.deletion.policy.source import Source
from lethe.deletion.request import DeletionRequest

# What stands in the ledger instead of a name that a ticket gave and its source may not give. The
# ledger has models and data sets in clear, and `anna@example.org` has the form of a model.
WITHHELD_MODEL: Final = "withheld@withheld"
WITHHELD_PATH: Final = "withheld"
KINDS: Final = ("classes", "subjects", "samples")


def may_name_model(source: Source, model: str) -> bool:
    """Whether the source may name the model, NAME@ALIAS or NAME/NUMBER, written as it is."""
    return model != WITHHELD_MODEL and any(fnmatchcase(model, p) for p in source.models)


def may_name_dataset(source: Source, path: str) -> bool:
    """Whether the source may name the data set; a path that leads outside is nobody's to name."""
    inside = not {"..", ""} & set(path.split("/"))
    return inside and path != WITHHELD_PATH and any(fnmatchcase(path, p) for p in source.datasets)


def selected_by(forget: ForgetSpec) -> tuple[str, ...]:
    """What a forget set selects by: "classes", "subjects", "samples", or "whole" for all of it."""
    if forget.whole or forget.selection is None:
        return ("whole",)
    return tuple(kind for kind in KINDS if getattr(forget.selection, kind) is not None)


def ids_named(forget: ForgetSpec) -> int:
    """How many labels and ids a forget set names."""
    return sum(len(getattr(forget.selection, kind, None) or ()) for kind in KINDS)


def not_allowed(policy: Policy, source: Source, request: DeletionRequest) -> str | None:
    """Why the source may not ask for this, without the value; None if it may."""
    return next(_objections(policy, source, request), None)


def _objections(policy: Policy, source: Source, request: DeletionRequest) -> Iterator[str]:
    forget, who = request.forget, f"source {source.name}"
    if not may_name_model(source, request.model):
        yield f"{who} may not name this model"
    if not may_name_dataset(source, forget.dataset):
        yield f"{who} may not name this data set"
    if request.evaluation is not None and not may_name_dataset(source, request.evaluation):
        yield f"{who} may not name this data set to measure on"
    for kind in selected_by(forget):
        if kind not in source.selections:
            yield f"{who} may not select by {'a whole data set' if kind == 'whole' else kind}"
    most = policy.model_rule(request.model).max_ids
    if policy.limits(source) and ids_named(forget) > most:
        yield f"it names more than {most} labels and ids"
    if policy.regulation(request.regulation) is None:
        yield "its regulation is not in the policy"

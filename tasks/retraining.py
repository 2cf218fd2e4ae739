"""Retraining in the place of a method: what it declares, and whether a parent allows it."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from lethe.errors import MethodError, ModelError
from lethe.unlearning.method import Context, Edit, ForgetKind, ForgetTarget, Instructions, Need
from model_registry.pull import PulledVersion

NAME = "retrain"


class Retraining(BaseModel):
    """Rebuilding without the forget set, in the place of a method. It has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str] = NAME
    needs: ClassVar[Need] = "retain"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})

    def probe(self, model: Any, forget: ForgetTarget, context: Context) -> Instructions:
        """There is nothing to probe.

        Raises:
            MethodError: always; `tasks.retrain.rebuild` does the work.
        """
        del model, forget, context
        raise _no_edit()

    def edit(
        self, model: Any, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """There is nothing to edit.

        Raises:
            MethodError: always; `tasks.retrain.rebuild` does the work.
        """
        del model, forget, instructions, context
        raise _no_edit()


def _no_edit() -> MethodError:
    return MethodError(
        "Retraining edits no network: it trains a new one. Nothing was changed. Call "
        "`tasks.retrain.rebuild`, or name a method that edits: docs/choosing.md."
    )


def check_can_retrain(parent: PulledVersion) -> None:
    """Refuse a parent that does not say how it was trained.

    Raises:
        ModelError: if its training settings are not recorded.
    """
    if parent.facts.training is None:
        raise ModelError(
            f"{parent.ref} cannot be retrained: its training settings are not recorded. "
            f"Nothing was registered. Leave retraining out, or train it with `lethe train`."
        )

"""What an unlearning method is: a frozen model of settings with two functions.

    method = load_method("pte", {"epochs": 5})
    instructions = method.probe(model, forget, context)         # what to change
    edit = method.edit(model, forget, instructions, context)    # the changed model

The two phases run as two Prefect tasks, possibly on two machines, so everything that `probe`
found travels in `Instructions`, one safetensors file. Neither phase changes the model it is given.

Methods are found through the entry-point group `lethe.methods`; see docs/methods/.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.data.training_card import TrainingCard
from lethe.errors import MethodError

GROUP = "lethe.methods"

ForgetKind = Literal["class", "subject", "samples"]
Need = Literal["forget_only", "stored_statistics", "retain"]
Progress = Callable[[int, int], None]
# What a search may try of a method: values by setting. A method declares it as `searches`.
Searches = Mapping[str, tuple[bool | int | float | str, ...]]


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class ForgetTarget:
    """What to forget: the rows and, for a class request, the classes' label indices.

    `retained` is everything else that was trained on: given to methods that declare
    `needs = "retain"` and to no other. `fingerprints` are those of the people who are forgotten
    whole (`lethe.data.digest.subject_fingerprint`), by which the training card names them.
    """

    rows: Rows
    kind: ForgetKind
    classes: tuple[int, ...] = ()
    retained: Rows | None = None
    fingerprints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """Where and how a phase runs: device, seed, and who hears of its progress (done, total).

    `card` is the model's training card: given to methods that declare `needs =
    "stored_statistics"`, where there is one.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    progress: Progress = _silent
    card: TrainingCard | None = None


@dataclass(frozen=True)
class Instructions:
    """What a probe found. Tensors live on the CPU; `facts` is JSON: counts, rates, seconds."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write everything to one safetensors file."""
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        save_file(tensors, path, metadata={"facts": json.dumps(dict(self.facts))})

    @classmethod
    def load(cls, path: Path) -> "Instructions":
        """Read what `save` wrote."""
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return cls({name: file.get_tensor(name) for name in file.keys()}, facts)  # noqa: SIM118 (safe_open is no mapping)


@dataclass(frozen=True)
class Edit:
    """The changed model, on the CPU and in eval mode, and what changing it took.

    `curves` holds one value per epoch each; `seconds` is wall time on the context's device.
    """

    model: nn.Module
    curves: Mapping[str, list[float]]
    epochs: int
    seconds: float
    stopped: str


class Method(Protocol):
    """Settings of one unlearning method, with its two phases."""

    name: ClassVar[str]
    needs: ClassVar[Need]
    forgets: ClassVar[frozenset[ForgetKind]]

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Find out what to change."""

    def edit(
        self,
        model: nn.Module,
        forget: ForgetTarget,
        instructions: Instructions,
        context: Context,
    ) -> Edit:
        """Change a copy of the model accordingly."""

    def model_dump(self, *, mode: Literal["json"]) -> dict[str, Any]:
        """The settings, for the record."""


def method_names() -> list[str]:
    """Names of all installed methods."""
    return sorted(point.name for point in entry_points(group=GROUP))


def load_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """The installed method of that name with these settings over its defaults.

    Raises:
        MethodError: if no such method is installed, or it does not accept the options.
    """
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join(method_names())
        raise MethodError(
            f"There is no unlearning method {name!r}. Nothing was changed. Installed: {known}. "
            f"Name one with `lethe unlearn --method NAME`."
        )
    (point, *_) = found
    try:
        method: Method = point.load().model_validate_json(json.dumps(dict(options or {})))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise MethodError(
            f"Method {name!r} does not accept these options: {'; '.join(lines)}. Nothing was "
            f"changed. See docs/methods/{name}.md."
        ) from error
    return method


def check_can_forget(method: Method, kind: ForgetKind) -> None:
    """Refuse what a method cannot do before any compute is spent.

    Raises:
        MethodError: if the method does not forget this kind of selection.
    """
    if kind not in method.forgets:
        able = ", ".join(sorted(method.forgets))
        raise MethodError(
            f"Method {method.name!r} forgets by {able}, but the request selects by {kind}. "
            f"Nothing was changed. Select whole classes, or name another method with --method."
        )

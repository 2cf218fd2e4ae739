"""Train a network on rows: one recipe, linear, the same result for the same seed.

    settings = TrainingSettings(network="lethe.models.networks:digits_cnn")
    trained = train(new_network(settings, seed=0), rows, settings, seed=0)

Adam with decoupled weight decay under a one-cycle learning rate (Smith & Topin 2017,
arXiv 1708.07120), which reaches a network's good accuracy in few epochs. Retraining without a
class, the reference of every measurement of forgetting, uses the same recipe.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)
from torch import nn
from torch.nn import functional as F

from lethe.data.rows import Rows
from lethe.errors import DataError, ModelError
from lethe.models.architecture import FACTORY_PATTERN, Architecture, build

UNKNOWN_LABEL = -1


class TrainingSettings(BaseModel):
    """What to train and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    network: str = Field(
        pattern=FACTORY_PATTERN, description="import path of the factory, module:function"
    )
    network_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of the factory"
    )
    epochs: int = Field(default=10, ge=1, description="passes over the rows")
    batch_size: int = Field(default=32, ge=2, description="rows per step")
    learning_rate: float = Field(default=0.003, gt=0, description="peak of the one-cycle schedule")
    weight_decay: float = Field(default=0.01, ge=0, description="decoupled weight decay")
    unseen_folds: int = Field(
        default=0,
        ge=0,
        description="networks trained besides, each without some people, whose losses with it and "
        "the curvature go into the training card; 0: none of this",
    )

    @field_validator("unseen_folds")
    @classmethod
    def _enough_folds(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold would leave nobody to train on; take two at least, or 0")
        return folds

    @model_serializer(mode="wrap")
    def _leave_out_no_folds(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Recipes without folds read as they did before there were any, and so do their keys."""
        found: dict[str, Any] = handler(self)
        if not found.get("unseen_folds"):
            found.pop("unseen_folds", None)
        return found

    @property
    def architecture(self) -> Architecture:
        """The network, as a registered version names it."""
        return Architecture(factory=self.network, kwargs=self.network_kwargs)


def recipe_of(recorded: Mapping[str, Any] | None) -> TrainingSettings | None:
    """The recipe as a version's record holds it; None where it holds none."""
    if recorded is None:
        return None
    return TrainingSettings.model_validate_json(json.dumps(recorded))


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, on the CPU and in eval mode.

    `curves` holds "loss" and "accuracy" on the training rows, one value per epoch each, taken while
    training; `seconds` is wall time. `kept` says that an earlier run trained it, whose seconds
    cannot be compared with those of this one.
    """

    model: nn.Module
    curves: Mapping[str, list[float]]
    seconds: float
    kept: bool = False


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""


def new_network(
    settings: TrainingSettings,
    *,
    seed: int = 0,
    allowed: Sequence[str] = ("lethe.models.networks",),
) -> nn.Module:
    """The untrained network that the settings name, with weights drawn from the seed.

    Raises:
        ModelError: if the factory is not in an allowed module or does not make a network.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return build(settings.architecture, allowed)


def train(
    network: nn.Module,
    rows: Rows,
    settings: TrainingSettings,
    *,
    device: torch.device | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = _silent,
) -> TrainedNetwork:
    """A trained copy of the network; rows whose label is -1 are skipped.

    Args:
        network: maps (B, *rows.shape) to logits (B, K); stays as it is.
        rows: what to learn, labels 0..K-1 or -1.
        settings: the recipe.
        device: where to compute; default: the CPU.
        seed: of the order of rows and of dropout.
        progress: hears (epochs done, epochs in all).

    Raises:
        DataError: if there are fewer than two rows with a known label.
        ModelError: if the loss stops being finite.
    """
    if len(rows) < 2:  # BatchNorm needs two
        raise DataError(
            f"A network cannot be trained on {len(rows)} rows. Nothing was trained. "
            f"See what a data set holds with `lethe data show`."
        )
    device = device or torch.device("cpu")
    started = time.perf_counter()
    model = copy.deepcopy(network).to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    steps = settings.epochs * math.ceil(len(rows) / settings.batch_size)
    curves: dict[str, list[float]] = {"loss": [], "accuracy": []}
    orders = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=_accelerators(device)):
        torch.manual_seed(seed)
        step = 0
        for epoch in range(settings.epochs):
            loss_sum = correct = count = 0.0
            order = int(torch.randint(2**31 - 1, (), generator=orders))
            for batch in rows.batches(settings.batch_size, seed=order):
                known = batch.y != UNKNOWN_LABEL
                x, y = batch.x[known].to(device), batch.y[known].to(device)
                if len(x) < 2:  # a last batch of one row has no variance
                    continue
                _set_rate(optimizer, settings.learning_rate, step / steps)
                step += 1
                logits = model(x)
                loss = F.cross_entropy(logits, y)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                loss_sum += loss.item() * len(x)
                correct += (logits.argmax(1) == y).sum().item()
                count += len(x)
            if not count:
                raise DataError(
                    "No training row has a known label. Nothing was trained. Name the classes of "
                    "the data set as `lethe data show` lists them."
                )
            if not math.isfinite(loss_sum):
                raise ModelError(
                    f"Training diverged in epoch {epoch + 1}: the loss is not finite. Nothing was "
                    f"kept. Lower `learning_rate` in params.yaml and run `dvc repro`."
                )
            curves["loss"].append(loss_sum / count)
            curves["accuracy"].append(correct / count)
            progress(epoch + 1, settings.epochs)
    model = model.cpu().eval()
    return TrainedNetwork(model, curves, time.perf_counter() - started)


def _set_rate(optimizer: torch.optim.Optimizer, peak: float, at: float) -> None:
    """One cycle: up over the first 30 % of the steps, then down to nearly nothing, both cosine."""
    rise = 0.3
    height = at / rise if at < rise else 1 - (at - rise) / (1 - rise)
    rate = peak * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * min(1.0, max(0.0, height)))))
    for group in optimizer.param_groups:
        group["lr"] = rate


def _accelerators(device: torch.device) -> list[int]:
    """Indices of the CUDA devices whose random state training touches."""
    return [device.index or 0] if device.type == "cuda" else []

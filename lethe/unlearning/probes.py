"""Boundary probes: gradient ascent on inputs, against the frozen original model.

The published update is x_{t+1} = Project(x_t + eta * grad CE(f(x_t), y)). A well-trained model has
p_y = 1 to float precision on its own rows, where that gradient underflows to nothing. Its direction
is that of the log-odds, grad CE = (1 - p_F) * grad log((1 - p_F) / p_F), so the log-odds are
climbed instead and every step is normalised: to its sign for the L-infinity ball, to a
root-mean-square of one for L2.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.errors import MethodError
from lethe.unlearning import losses

HISTOGRAM_BINS = 20

Norm = Literal["linf", "l2"]


def data_scale(rows: Rows, batch_size: int) -> float:
    """Standard deviation of all input values, in their own unit, from one streaming pass."""
    count, total, squares = 0, 0.0, 0.0
    shift: float | None = None  # keeps the squares small when the mean is large
    for batch in rows.batches(batch_size):
        x = batch.x.double()
        shift = x.mean().item() if shift is None else shift
        count += x.numel()
        total += (x - shift).sum().item()
        squares += (x - shift).square().sum().item()
    return math.sqrt(max(0.0, squares / count - (total / count) ** 2))


def check_scale(scale: float) -> None:
    """Refuse rows whose values do not spread.

    Raises:
        MethodError: if their standard deviation is no positive number.
    """
    if not 0 < scale < math.inf:
        raise MethodError(
            f"The standard deviation of the forget rows' values is {scale}, so a probe has no "
            f"scale to move on. The model was left as it was. Look at the rows with `lethe data "
            f"show`."
        )


def log_odds(logits: Tensor, classes: Tensor) -> Tensor:
    """log(p / (1 - p)), (B,), of the probability p of each row's classes, a boolean mask (B, K)."""
    inside = logits.masked_fill(~classes, -torch.inf).logsumexp(1)
    return inside - logits.masked_fill(classes, -torch.inf).logsumexp(1)


def leave(
    model: nn.Module, x: Tensor, forgotten: Tensor, *, radius: float, norm: Norm, steps: int
) -> Tensor:
    """Inputs within `radius` of x (B, ...) at which the forget classes are least likely.

    Args:
        model: frozen, in eval mode.
        x: inputs, on the model's device.
        forgotten: mask (K,) of the forget classes.
        radius: of the ball, in the unit of x; for L2 per square root of the number of values, so
            that the same figure means the same root-mean-square change in both norms.
        norm: shape of the ball.
        steps: number of ascent steps; together they can reach any point of the ball.
    """
    target = (~forgotten).expand(len(x), -1)
    return _climb(model, x, target, radius=radius, norm=norm, steps=steps)


def reach(
    model: nn.Module,
    x: Tensor,
    targets: Tensor,
    classes: int,
    *,
    radius: float,
    norm: Norm,
    steps: int,
) -> Tensor:
    """Inputs within `radius` of x (B, ...) that look most like each row's target class (B,)."""
    target = torch.nn.functional.one_hot(targets, classes).bool()
    return _climb(model, x, target, radius=radius, norm=norm, steps=steps)


def anchors(
    model: nn.Module,
    starts: Tensor,
    forgotten: Tensor,
    *,
    per_class: int,
    radius: float,
    steps: int,
    batch_size: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Targeted probes toward every retained class: stand-ins for the retained data.

    Args:
        model: frozen, in eval mode, on the device of `forgotten`.
        starts: forget rows (m, ...) on the CPU; each anchor begins at a random one.
        forgotten: mask (K,) of the forget classes.
        per_class: number of anchors for each retained class.
        radius: of the L2 ball, root-mean-square, in the unit of the rows.
        steps: number of ascent steps.
        batch_size: anchors computed at once.
        generator: draws the starts.

    Returns:
        Inputs (a, ...), the model's logits (a, K) and target classes (a,), on the CPU.
    """
    device, classes = forgotten.device, len(forgotten)
    targets = (~forgotten).nonzero().flatten().cpu().repeat_interleave(per_class)
    chosen = torch.randint(len(starts), (len(targets),), generator=generator)
    inputs, logits = [starts[:0]], [torch.empty(0, classes)]
    for at in torch.split(torch.arange(len(targets)), batch_size):
        x, target = starts[chosen[at]].to(device), targets[at].to(device)
        moved = reach(model, x, target, classes, radius=radius, norm="l2", steps=steps)
        inputs.append(moved.cpu())
        with torch.no_grad():
            logits.append(model(moved).float().cpu())
    return torch.cat(inputs), torch.cat(logits), targets


def landing(clean: Tensor, probe: Tensor, forgotten: Tensor) -> dict[str, Any]:
    """Where probes ended: counts by class and histograms of p_F, for the facts of a probe.

    Args:
        clean: the original's logits (n, K) on the forget rows.
        probe: and on their probes.
        forgotten: mask (K,) of the forget classes.
    """
    landed, instructed = probe.argmax(1), losses.retained_only(probe, forgotten).argmax(1)
    return {
        "landed": landed.bincount(minlength=len(forgotten)).tolist(),
        "instructed": instructed.bincount(minlength=len(forgotten)).tolist(),
        "failed_probes": int(forgotten[landed].sum()),
        "confidence_clean": _histogram(clean, forgotten),
        "confidence_probe": _histogram(probe, forgotten),
    }


def _histogram(logits: Tensor, forgotten: Tensor) -> list[int]:
    """Counts of p_F in equal bins over 0..1."""
    mass = losses.forget_mass(logits, forgotten).clamp(0, 1)
    return [int(count) for count in torch.histc(mass, HISTOGRAM_BINS, 0, 1).tolist()]


def _climb(
    model: nn.Module, x: Tensor, target: Tensor, *, radius: float, norm: Norm, steps: int
) -> Tensor:
    delta = torch.zeros_like(x)
    step = radius * (1.0 if steps == 1 else 1.5 / steps)
    for _ in range(steps):
        moved = (x + delta).requires_grad_()
        with torch.enable_grad():
            odds = log_odds(model(moved), target).sum()
        if not odds.requires_grad:
            raise MethodError(
                "The model's outputs do not depend differentiably on its inputs, so there is no "
                "gradient to climb. It was left as it was. Register the eager float model."
            )
        (gradient,) = torch.autograd.grad(odds, moved)
        delta = _project(delta + step * _normalise(gradient, norm), radius, norm)
    return x + delta


def _normalise(gradient: Tensor, norm: Norm) -> Tensor:
    if norm == "linf":
        return gradient.sign()
    return gradient / _rms(gradient).clamp_min(torch.finfo(gradient.dtype).tiny)


def _project(delta: Tensor, radius: float, norm: Norm) -> Tensor:
    if norm == "linf":
        return delta.clamp(-radius, radius)
    return delta * (radius / _rms(delta).clamp_min(radius))


def _rms(x: Tensor) -> Tensor:
    return x.flatten(1).square().mean(1).sqrt().view(-1, *[1] * (x.dim() - 1))

"""Networks to learn from, or to get away from: the original, and one that knows nothing."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lethe.unlearning.losses import pull_masked

Teacher = Callable[[Tensor], Tensor]


def frozen(model: nn.Module, device: torch.device) -> Teacher:
    """A copy of the model in eval mode: from inputs (B, ...) to logits (B, K) without gradients."""
    teacher = copy.deepcopy(model).to(device).eval().requires_grad_(requires_grad=False)

    def answer(x: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = teacher(x)
        return logits

    return answer


def untrained(model: nn.Module, seed: int) -> nn.Module:
    """A copy of the model with weights drawn anew from the seed, on the CPU.

    Modules that say how they are initialised (`reset_parameters`) are; the entries of weights that
    belong to others are put in a random order, which keeps their scale and forgets the rest.
    """
    network = copy.deepcopy(model).cpu()
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(seed)
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
                continue
            for weight in module.parameters(recurse=False):
                order = torch.randperm(weight.numel())
                weight.copy_(weight.flatten()[order].view_as(weight))
    return network


def divergence(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of logits (B, K), one value per row, (B,)."""
    nothing = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
    return pull_masked(logits, teacher, nothing, temperature)

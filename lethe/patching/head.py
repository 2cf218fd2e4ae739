"""The ReLU head of a network: its trailing linear layers and ReLUs, affine on each linear region.

    head = find_head(network)              # None where the network does not end in one
    features, units, logits = head.run(x)  # (B, D) what goes in, (B, N) before each ReLU, (B, K)

Where the signs of all N pre-activations stay the same, the logits are an affine function of the
features: that set of features is a linear region, a polytope (Montufar et al. 2014,
arXiv 1402.1869).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

SKIPPED = (nn.Identity, nn.Dropout)  # the head is in eval mode
UNIT_ROUNDOFF = 2.0**-24  # float32
AT_ONCE = 2**24  # numbers of one chunk of affine maps


class Seen(NamedTuple):
    """What a head computes on a batch: features (B, D), pre-activations (B, N), logits (B, K)."""

    features: Tensor
    units: Tensor
    logits: Tensor


class Maps(NamedTuple):
    """Affine maps of features on regions, float64: logits = `logits` @ features + `logit_bias`.

    `logits` is (n, K, D), `logit_bias` (n, K). `unit_norms` (n, N) are the L1 norms of the
    pre-activations' weights: how fast each changes per unit of the largest change of a feature.
    """

    unit_norms: Tensor
    logits: Tensor
    logit_bias: Tensor


@dataclass(frozen=True)
class Head:
    """A network in two parts: `body`, whatever it is, and `layers`, linear or ReLU."""

    body: tuple[nn.Module, ...]
    layers: tuple[nn.Module, ...]

    @property
    def inputs(self) -> int:
        """D, the number of features."""
        return self._linear[0].in_features

    @property
    def outputs(self) -> int:
        """K, the number of logits."""
        return self._linear[-1].out_features

    @property
    def units(self) -> int:
        """N, the number of ReLUs."""
        return sum(before.out_features for before in self._before_relus())

    def run(self, x: Tensor) -> Seen:
        """Body and head on inputs (B, ...), the same operations as the network's own."""
        for module in self.body:
            x = module(x)
        return self.read(x)

    def read(self, features: Tensor) -> Seen:
        """The head alone on features (B, D)."""
        x, units = features, []
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                units.append(x)
                x = torch.relu(x)  # never in place: the pre-activations are kept
            else:
                x = layer(x)
        return Seen(features, torch.cat(units, 1), x)

    def maps(self, patterns: Tensor) -> Iterator[Maps]:
        """The affine maps on the regions of activation patterns (n, N), chunk by chunk."""
        widest = max(layer.out_features for layer in self._linear)
        for part in torch.split(patterns, max(1, AT_ONCE // (widest * self.inputs))):
            yield self._maps(part > 0)

    def _maps(self, on: Tensor) -> Maps:
        weight = torch.eye(self.inputs, dtype=torch.float64).expand(1, -1, -1)
        bias = torch.zeros(1, self.inputs, dtype=torch.float64)
        norms, at = [], 0
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                w, b = _numbers(layer)
                weight, bias = w @ weight, bias @ w.T + b
            elif isinstance(layer, nn.ReLU):
                width = weight.shape[1]
                norms.append(weight.abs().sum(2).expand(len(on), -1))
                mask = on[:, at : at + width].double()
                weight, bias, at = weight * mask[:, :, None], bias * mask, at + width
        shape = (len(on), -1, -1)
        return Maps(torch.cat(norms, 1), weight.expand(shape), bias.expand(shape[:2]))

    def rounding(self, largest: Tensor) -> tuple[Tensor, Tensor, float]:
        """How far float32 may be off, for features of at most these magnitudes (D,).

        The usual bound on a dot product, |fl(x.w) - x.w| <= g |x|.|w| with g = n u / (1 - n u)
        (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), carried from
        layer to layer.

        Returns:
            Error of each unit (N,), error of each logit (K,), and the largest logit there can be.
        """
        size, error, units = largest.double(), torch.zeros_like(largest, dtype=torch.float64), []
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                w, b = _numbers(layer)
                terms = (layer.in_features + 2) * UNIT_ROUNDOFF
                size = size @ w.abs().T + b.abs()
                error = error @ w.abs().T + terms / (1 - terms) * size
                size = size + error
            elif isinstance(layer, nn.ReLU):
                units.append(error)
        return torch.cat(units), error, float(size.max())

    @property
    def _linear(self) -> list[nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def _before_relus(self) -> Iterator[nn.Linear]:
        last: nn.Linear | None = None
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                last = layer
            elif isinstance(layer, nn.ReLU) and last is not None:
                yield last


def find_head(network: nn.Module) -> Head | None:
    """The longest run of linear layers and ReLUs at the end of an `nn.Sequential`.

    None where the network is no `nn.Sequential` (nested ones are), or where fewer than two linear
    layers with a ReLU between them stand at its end: then there are no linear regions to tell
    apart.
    """
    modules = _flat(network)
    if modules is None:
        return None
    start = len(modules)
    while start and isinstance(modules[start - 1], (nn.Linear, nn.ReLU, *SKIPPED)):
        start -= 1
    while start < len(modules) and not isinstance(modules[start], nn.Linear):
        start += 1
    head = Head(tuple(modules[:start]), tuple(modules[start:]))
    after = head.layers
    while after and not isinstance(after[0], nn.ReLU):
        after = after[1:]
    return head if any(isinstance(layer, nn.Linear) for layer in after) else None


def _flat(network: nn.Module) -> list[nn.Module] | None:
    """The modules of a Sequential in the order in which they run, nested ones opened."""
    if not isinstance(network, nn.Sequential) or type(network).forward is not nn.Sequential.forward:
        return None
    found: list[nn.Module] = []
    for child in network:
        found += _flat(child) or [child]
    return found


def _numbers(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias in float64 on the CPU."""
    weight = layer.weight.detach().cpu().double()
    bias = dict(layer.named_parameters()).get("bias")
    if bias is None:
        return weight, torch.zeros(len(weight), dtype=torch.float64)
    return weight, bias.detach().cpu().double()

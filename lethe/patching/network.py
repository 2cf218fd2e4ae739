"""A network under a patch: its weights stay, and in some regions it may not answer some classes.

    patched = Patched(network, patch)
    patched(x)             # logits (B, K), the network's own wherever no region is near
    patched.base           # the network as it was

For logits z, and for each region r with activation pattern s_r in {-1, 0, 1}^N over the units u,
in the box of the features h, and in a cell around the point a_r where it has one:

    v_r = sum_i relu(-s_ri u_i) + sum_d relu(low_d - h_d) + relu(h_d - high_d)
          + relu(|u - a_r|_1 - cell_r)                                            0 in the region
    B_c = max over regions that bar c of  bound_r relu(1 - sharpness_r v_r)
    z_c - min(B_c, relu(z_c - t_c)),    t_c = max_{j != c} (z_j - B_j) - margin

In a region the lowered logit is z_j - margin of another class j: there the patch is the affine
function z_j - z_c - margin, after REASSURE (Fu and Li 2022, arXiv 2110.07682), whose support
functions these are. Everything is continuous and piecewise linear, and no logit is ever raised.
Where every v_r is at least 1 / sharpness_r the logits are the network's own, bit for bit.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lethe.patching.head import Head, Seen, find_head

# More than any float32 logit that a network in use gives, and far from overflowing.
UNLIMITED = 1e30


class Patch(nn.Module):
    """Buffers of R regions over N units and D features of a network with K logits.

    Attributes:
        patterns: (R, N) int8: 1 where a unit is on in the region, -1 where it is off.
        groups: (R,) int64: which row of `barred` holds in the region.
        barred: (Q, K) bool.
        low: (D,) float32; with `high` the box outside which no region reaches.
        high: (D,) float32.
        centres: (R, N) float32, units of the points that cells are around; (R, 0) without cells.
        cell: (R,) float32: how far from its point a region goes at most.
        sharpness: (R,) float32: 1 / the violation at which a region's reach ends; 0: everywhere.
        bound: (R,) float32: most that a logit is lowered by.
        margin: () float32: by how much a barred class stays below another one.
    """

    patterns: Tensor
    groups: Tensor
    barred: Tensor
    low: Tensor
    high: Tensor
    centres: Tensor
    cell: Tensor
    sharpness: Tensor
    bound: Tensor
    margin: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name in NAMES:
            self.register_buffer(name, tensors[name].clone())

    @property
    def sizes(self) -> dict[str, int]:
        """What it takes to make one of the same form: see `empty_patch`."""
        (regions, units), (groups, classes) = self.patterns.shape, self.barred.shape
        return {
            "regions": regions,
            "units": units,
            "features": len(self.low),
            "cells": self.centres.shape[1],
            "groups": groups,
            "classes": classes,
        }

    def violation(self, seen: Seen) -> Tensor:
        """v, (B, R): 0 in a region, growing with the distance from it."""
        outside = self.outside(seen)
        if not self.centres.shape[1]:
            return outside
        return outside + torch.relu(self.distance(seen) - self.cell)

    def outside(self, seen: Seen) -> Tensor:
        """The part of v that linear regions and the box make, (B, R)."""
        on = (self.patterns > 0).to(seen.logits.dtype)
        off = (self.patterns < 0).to(seen.logits.dtype)
        wrong = torch.relu(-seen.units) @ on.T + torch.relu(seen.units) @ off.T
        below, above = torch.relu(self.low - seen.features), torch.relu(seen.features - self.high)
        return wrong + (below + above).sum(1, keepdim=True)

    def distance(self, seen: Seen) -> Tensor:
        """|u - a|_1, (B, R)."""
        return torch.cdist(seen.units, self.centres, p=1)

    def reach(self, seen: Seen) -> Tensor:
        """B, (B, K): most that each logit is lowered by."""
        strength = self.bound * torch.relu(1 - self.sharpness * self.violation(seen))
        none = strength.new_zeros(strength.shape[0], len(self.barred))
        where = self.groups.expand(strength.shape[0], -1)
        by_group = none.scatter_reduce(1, where, strength, "amax")
        return (by_group[:, :, None] * self.barred).amax(1)

    def forward(self, seen: Seen) -> Tensor:
        """The logits after the patch, (B, K)."""
        logits, reach = seen.logits, self.reach(seen)
        lowest = logits - reach
        two = lowest.topk(2, dim=1).values
        first, second = two[:, :1], two[:, 1:]
        is_first = lowest >= first
        # Two that share the first place stand against each other.
        other = torch.where(is_first & (is_first.sum(1, keepdim=True) == 1), second, first)
        return logits - torch.minimum(reach, torch.relu(logits - (other - self.margin)))


NAMES = (
    "patterns",
    "groups",
    "barred",
    "low",
    "high",
    "centres",
    "cell",
    "sharpness",
    "bound",
    "margin",
)


def empty_patch(
    *, regions: int, units: int, features: int, cells: int, groups: int, classes: int
) -> Patch:
    """A patch of this form that bars nothing, to be filled from a file."""
    return Patch(
        {
            "patterns": torch.zeros(regions, units, dtype=torch.int8),
            "groups": torch.zeros(regions, dtype=torch.long),
            "barred": torch.zeros(groups, classes, dtype=torch.bool),
            "low": torch.zeros(features),
            "high": torch.zeros(features),
            "centres": torch.zeros(regions, cells),
            "cell": torch.zeros(regions),
            "sharpness": torch.zeros(regions),
            "bound": torch.zeros(regions),
            "margin": torch.ones(()),
        }
    )


class Patched(nn.Module):
    """A network under a patch. `base` is the network, `patch` what was put on it."""

    def __init__(self, base: nn.Module, patch: Patch) -> None:
        super().__init__()
        self.base = base
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (B, ...) to logits (B, K)."""
        patched: Tensor = self.patch(self.see(x))
        return patched

    def see(self, x: Tensor) -> Seen:
        """What the network itself computes; no features and units where no region needs any."""
        if not self.patch.patterns.shape[1]:
            logits = self.base(x)
            nothing = logits[:, :0]
            return Seen(nothing, nothing, logits)
        return self.head.run(x)

    @property
    def head(self) -> Head:
        """The ReLU head that the regions are of."""
        head = find_head(self.base)
        if head is None:
            message = "the network under the patch does not end in linear layers and ReLUs"
            raise ValueError(message)
        return head


def base_of(network: nn.Module) -> nn.Module:
    """The network without its patch; itself where it has none."""
    return network.base if isinstance(network, Patched) else network


def put_on(network: nn.Module, tensors: Mapping[str, Tensor]) -> Patched:
    """A copy of a network under a patch, on the CPU and in eval mode.

    On a network that is under one already the new regions join the others.

    Raises:
        ValueError: if the tensors make no patch that fits the network.
    """
    base = copy.deepcopy(base_of(network)).cpu().eval()
    try:
        made = patch_for(network, tensors)
        patched = Patched(base, made)
        units = made.patterns.shape[1]
        fits = not units or (units, len(made.low)) == (patched.head.units, patched.head.inputs)
        fits &= made.centres.shape[1] in {0, units}
        by_region = (
            made.patterns,
            made.groups,
            made.centres,
            made.cell,
            made.sharpness,
            made.bound,
        )
        shapes = {len(tensor) for tensor in by_region}
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(str(error)) from error
    if not fits or len(shapes) > 1:
        message = f"a patch of other sizes: {made.sizes}"
        raise ValueError(message)
    return patched.eval()


def patch_for(network: nn.Module, tensors: Mapping[str, Tensor]) -> Patch:
    """The patch that `put_on` puts on a network, without the network."""
    return Patch(joined(network.patch, tensors) if isinstance(network, Patched) else tensors)


def joined(earlier: Patch, later: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a patch with the regions of both: what one barred stays barred.

    The box is the smallest that holds both, so regions of either may reach further than alone.
    """
    mine: dict[str, Any] = {name: getattr(earlier, name).cpu() for name in NAMES}
    units = max(mine["patterns"].shape[1], later["patterns"].shape[1])
    cells = max(mine["centres"].shape[1], later["centres"].shape[1])
    low, high = _boxes(mine, later)
    return {
        "patterns": torch.cat([_widened(t["patterns"], units) for t in (mine, later)]),
        "groups": torch.cat([mine["groups"], later["groups"] + len(mine["barred"])]),
        "barred": torch.cat([mine["barred"], later["barred"]]),
        "low": low,
        "high": high,
        "centres": torch.cat([_widened(t["centres"], cells) for t in (mine, later)]),
        "cell": torch.cat([mine["cell"], later["cell"]]),
        "sharpness": torch.cat([mine["sharpness"], later["sharpness"]]),
        "bound": torch.cat([mine["bound"], later["bound"]]),
        "margin": torch.maximum(mine["margin"], later["margin"]),
    }


def _widened(rows: Tensor, units: int) -> Tensor:
    """Rows over this many units; regions everywhere, and those without cells, have none."""
    return rows if rows.shape[1] == units else rows.new_zeros(len(rows), units)


def _boxes(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    boxed = [t for t in (one, other) if len(t["low"])]
    if len(boxed) < 2:
        found = (boxed or [one])[0]
        return found["low"], found["high"]
    return torch.minimum(one["low"], other["low"]), torch.maximum(one["high"], other["high"])

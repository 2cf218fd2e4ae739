"""Proofs that a patched network does not answer a row's barred classes around it.

    found = certify(patched, x, barred)      # found.certified: (n,) bool

For a point h and a barred class c, the set S is the point's linear region within the patch's box,
or else a cube around the point. On S the logits are affine, so the lead of c over another class j
has an exact maximum over the box or cube that holds S. The label on S is not c if for some j

    max_S (z_c - z_j) + max_S B_j + margin + rounding  <=  min_S B_c            (lowered below j)
    max_S (z_c - z_j) + max_S B_j          + rounding  <   0                    (below j anyway)

with B as in `lethe.patching.network`. The first holds since z_c ends at or below z_j - B_j - margin
and no logit falls by more than its B. Everything here is linear arithmetic in float64 with a bound
on what float32 may have rounded: no search, no sampling. A point for which neither can be shown is
not certified, whatever the network answers there.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lethe.patching.head import UNIT_ROUNDOFF, Head, Seen
from lethe.patching.network import UNLIMITED, Patch, Patched

LARGEST_LOGIT = 2.0**18  # beyond it float32 cannot hold a margin of 1 below another logit


@dataclass(frozen=True)
class Certificates:
    """What is proven for n rows, on the CPU.

    Attributes:
        covered: (n,) bool: some region of the patch, with its box, holds the row itself and bars
            its classes.
        certified: (n,) bool: its barred classes are proven not to be answered around it.
        whole: (n,) bool: the proof holds on its whole linear region within the box.
        radius: (n,) float64: largest change of each feature within which the proof holds;
            0 where there is none, infinite where it holds for every input.
    """

    covered: Tensor
    certified: Tensor
    whole: Tensor
    radius: Tensor


class Frame(NamedTuple):
    """What no region changes, by row: see `frame`.

    `radius` (n,) is half the distance to the nearest facet of the row's region or of the box.
    `in_box`, `in_cube` (n, C, K) are the highest leads of the row's C barred classes over each
    class in the box and in the cube, with rounding added; `classes` (n, C) names the C, -1 for
    none. `drift` (n,) is how far the units move in all per unit of the largest change of a feature,
    `slack` what float32 may round off a violation.
    """

    radius: Tensor
    in_box: Tensor
    in_cube: Tensor
    classes: Tensor
    drift: Tensor
    slack: float


class Points(NamedTuple):
    """Rows as the head sees them, on the CPU, their barred classes (n, K), and their frame."""

    seen: Seen
    barred: Tensor
    frame: Frame


def certify(network: Patched, x: Tensor, barred: Tensor) -> Certificates:
    """Prove what can be proven about rows (n, ...) whose barred classes are (n, K), at most K - 1.

    The network is taken as it is, with whatever its patch holds now; on the CPU, in eval mode.
    """
    with torch.no_grad():
        seen = network.see(x)
        patch = network.patch
        if not patch.patterns.shape[1]:
            return _everywhere(patch, seen, barred)
        known = frame(network.head, seen, barred, patch.low, patch.high)
        return prove(patch, Points(seen, barred, known))


def frame(head: Head, seen: Seen, barred: Tensor, low: Tensor, high: Tensor) -> Frame:
    """The part of the proofs that depends on network, rows and box alone.

    Args:
        head: of the network under the patch.
        seen: what it computes on the rows.
        barred: (n, K) bool, by row.
        low: (D,) of the box.
        high: (D,) of the box.
    """
    low, high = low.double(), high.double()
    h, units = seen.features.double(), seen.units.double()
    unit_error, logit_error, _ = head.rounding(torch.maximum(low.abs(), high.abs()))
    classes = _listed(barred)
    radii, in_box, in_cube, drifts, at = [], [], [], [], 0
    for maps in head.maps(torch.where(units > 0, 1, -1)):
        part = slice(at, at + len(maps.logits))
        at = part.stop
        x, z, rows = h[part], units[part].abs(), classes[part]
        # Half of the way to where any unit could change its sign, and within the box.
        sure = torch.where(z >= 4 * unit_error, z - unit_error, 0.0)
        away = torch.where(maps.unit_norms > 0, sure / maps.unit_norms, torch.inf)
        walls = torch.minimum(x - low, high - x).amin(1).clamp(min=0)
        radius = torch.minimum(away.amin(1), walls) / 2
        own = rows.clamp(min=0)
        pairs = torch.arange(len(rows))[:, None]
        weight = maps.logits[pairs, own][:, :, None] - maps.logits[:, None]
        bias = maps.logit_bias[pairs, own][:, :, None] - maps.logit_bias[:, None]
        error = logit_error[own][:, :, None] + logit_error
        middle, half = (low + high) / 2, (high - low) / 2
        in_box.append(weight @ middle + weight.abs() @ half + bias + error)
        at_point = (weight @ x[:, None, :, None])[..., 0] + bias
        in_cube.append(at_point + radius[:, None, None] * weight.abs().sum(3) + error)
        radii.append(radius)
        drifts.append(maps.unit_norms.sum(1))
    slack = 3 * float(unit_error.sum())
    return Frame(
        torch.cat(radii),
        torch.cat(in_box),
        torch.cat(in_cube),
        classes,
        torch.cat(drifts),
        slack,
    )


def prove(patch: Patch, points: Points) -> Certificates:
    """Hold every row's frame against the regions of a patch, whose box is the frame's."""
    known = points.frame
    seen = points.seen
    within, own, outside = _within(patch, seen), _own(patch, seen), patch.outside(seen).double()
    sharpness, bound = patch.sharpness.double(), patch.bound.double()
    radius, beyond, before = _cells(patch, known, seen, own)
    here = own & (beyond == 0)
    # On the whole of a row's linear region; one that reaches everywhere does so there too.
    region = bound * (own & (patch.cell >= UNLIMITED) | (sharpness == 0))
    # On the cube each unit keeps its sign and changes by half of itself at most, and the box is
    # not left.
    furthest = torch.where(own, 0.0, 1.51 * outside + known.slack) + beyond
    nearest = (0.49 * outside - known.slack).clamp(min=0) + before
    least = bound * torch.relu(1 - sharpness * furthest)
    most = bound * torch.relu(1 - sharpness * nearest)
    margin, grain = float(patch.margin), _grain(patch, points)
    held = _taken(_by_class(patch, bound * (here | (sharpness == 0))), known.classes)
    covered = within & ((held > 0) | (known.classes < 0)).all(1) & points.barred.any(1)
    whole = within & _shown(
        known,
        known.in_box,
        least=_taken(_by_class(patch, region), known.classes),
        most=_by_class(patch, bound.expand(len(own), -1)),
        margin=margin,
        grain=grain,
    )
    cube = (radius > 0) & _shown(
        known,
        known.in_cube,
        least=_taken(_by_class(patch, least), known.classes),
        most=_by_class(patch, most),
        margin=margin,
        grain=grain,
    )
    return Certificates(
        covered=covered,
        certified=whole | cube,
        whole=whole,
        radius=torch.where(whole, 2 * known.radius, torch.where(cube, radius, 0.0)),
    )


def _cells(patch: Patch, known: Frame, seen: Seen, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The cube's radius (n,), within the cell of a row's own region where that has one.

    Also by how much each region's cell is left on the cube, at most and at least, (n, R).
    """
    if not patch.centres.shape[1]:
        nothing = torch.zeros(own.shape, dtype=torch.float64)
        return known.radius, nothing, nothing
    distance, cell = patch.distance(seen).double(), patch.cell.double()
    room = torch.where(own, cell - distance - known.slack, 0.0).clamp(min=0)
    widest = room.amax(1) / known.drift if own.shape[1] else torch.zeros(len(own))
    radius = torch.where(widest > 0, torch.minimum(known.radius, 0.99 * widest), known.radius)
    moved = (radius * known.drift)[:, None] + known.slack
    beyond = torch.relu(distance + moved - cell)
    return radius, beyond, torch.relu(distance - moved - cell)


def _shown(
    known: Frame, lead: Tensor, *, least: Tensor, most: Tensor, margin: float, grain: float
) -> Tensor:
    """Rows (n,) of which every barred class is shown to stay below some class.

    Args:
        known: the rows' frame.
        lead: (n, C, K) highest leads.
        least: (n, C) least that the barred classes are lowered by.
        most: (n, K) most that each class is lowered by.
        margin: of the patch.
        grain: what float32 may round off at the end.
    """
    ahead = lead + most[:, None, :] + grain
    lowered = (ahead + margin <= least[:, :, None]) & (margin > grain)
    proven = lowered | (ahead < 0)
    own = known.classes[:, :, None] == torch.arange(lead.shape[2])
    absent = known.classes < 0
    shown = (proven & ~own).any(2) | absent
    return shown.all(1) & ~absent.all(1)


def _everywhere(patch: Patch, seen: Seen, barred: Tensor) -> Certificates:
    """The proof for a patch without regions: what is never barred is always above."""
    at_all = (patch.sharpness == 0) & (patch.bound >= UNLIMITED)
    always = _by_class(patch, at_all.double()[None])[0] > 0
    ever = _by_class(patch, (patch.bound > 0).double()[None])[0] > 0
    sane = seen.logits.abs().amax(1) < LARGEST_LOGIT * min(1.0, float(patch.margin))
    held = ~(barred & ~always).any(1) & barred.any(1)
    shown = held & sane & bool((~ever).any())
    radius = torch.where(shown, torch.inf, 0.0).double()
    return Certificates(covered=held, certified=shown, whole=shown, radius=radius)


def _grain(patch: Patch, points: Points) -> float:
    """A few units in the last place of the largest number that the patch adds or compares."""
    largest = float(points.seen.logits.abs().max()) if len(points.barred) else 0.0
    limited = patch.bound[patch.bound < UNLIMITED]
    bound = float(limited.max()) if len(limited) else 0.0
    return 16 * UNIT_ROUNDOFF * (largest + bound + float(patch.margin))


def _by_class(patch: Patch, strength: Tensor) -> Tensor:
    """The largest of each class over the regions that bar it: (n, R) to (n, K)."""
    none = strength.new_zeros(len(strength), len(patch.barred))
    groups = patch.groups.expand(len(strength), -1)
    by_group = none.scatter_reduce(1, groups, strength, "amax")
    return (by_group[:, :, None] * patch.barred).amax(1)


def _own(patch: Patch, seen: Seen) -> Tensor:
    """Whether each region is the linear region of each row, (n, R)."""
    signs = torch.where(seen.units > 0, 1.0, -1.0)
    patterns = patch.patterns.to(signs.dtype)
    return (signs @ patterns.T == patterns.abs().sum(1)) & (patterns != 0).any(1)


def _within(patch: Patch, seen: Seen) -> Tensor:
    """Rows (n,) that lie in the box."""
    return ((seen.features >= patch.low) & (seen.features <= patch.high)).all(1)


def _listed(barred: Tensor) -> Tensor:
    """Indices of each row's barred classes, (n, C), filled up with -1."""
    most = max(1, int(barred.sum(1).max())) if len(barred) else 1
    order = torch.argsort(barred.int(), dim=1, descending=True, stable=True)[:, :most]
    return torch.where(barred.gather(1, order), order, -1)


def _taken(values: Tensor, classes: Tensor) -> Tensor:
    """Values (n, K) of the listed classes (n, C); those of -1 are meaningless and never read."""
    return values.gather(1, classes.clamp(min=0))

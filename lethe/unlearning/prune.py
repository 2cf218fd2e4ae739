"""PRUNE (Li et al., arXiv 2505.06520): a patch over regions, with a certificate for each row.

    instructions = PRUNE().probe(model, forget, context)     # representative rows, their regions
    edit = PRUNE().edit(model, forget, instructions, context)    # the same network under the patch

The weights stay. Around representative forget rows, on linear regions of the network's ReLU head,
the row's class is held below another one, by a patch after REASSURE (arXiv 2110.07682). What that
proves is which label is not answered around a row; it proves nothing about what the network still
holds, for the network is still there. See docs/methods/prune.md for what is ours.
"""

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lethe.errors import MethodError
from lethe.patching.certificate import Certificates, Points, certify, frame, prove
from lethe.patching.head import Head, Seen, find_head
from lethe.patching.network import NAMES, UNLIMITED, Patched, base_of, patch_for, put_on
from lethe.unlearning.method import Context, Edit, ForgetKind, ForgetTarget, Instructions, Need
from lethe.unlearning.representatives import representatives
from lethe.unlearning.survey import Survey, check_instructions, survey

CLASS_WIDTH, ROW_WIDTH, ROW_CELL = 0.2, 0.005, 0.005


class PRUNE(BaseModel):
    """Settings of PRUNE."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str] = "prune"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})

    reach: Literal["regions", "everywhere"] = Field(
        default="regions",
        description="block on regions around rows, or, for classes, on every input",
    )
    cell: float | None = Field(
        default=None,
        gt=0,
        description="how far from its row a region goes, as a share of the rows' mean sum of "
        "absolute pre-activations; no limit for classes, 0.005 for rows",
    )
    width: float | None = Field(
        default=None,
        gt=0,
        description="how far it reaches beyond, in the same unit; 0.2 for classes, 0.005 for rows",
    )
    clusters: int = Field(default=2, ge=1, description="representatives of the first round")
    most_regions: int = Field(default=1000, ge=1, description="most regions of the patch")
    box: float = Field(
        default=0.5,
        ge=0,
        description="how far the box of all regions extends beyond the rows' features, as a share "
        "of their range",
    )
    margin: float = Field(
        default=1.0, gt=0, description="by how much a blocked logit stays below another one"
    )
    batch_size: int = Field(default=256, ge=1, description="rows that the network sees at once")

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Choose representatives, round by round, until every row is certified.

        Raises:
            MethodError: if the network has no ReLU head to find regions in, or a reach everywhere
                is asked for rows, whose classes are retained.
        """
        self._check_reach(model, forget)
        found = survey(model, forget, context, self.batch_size)
        if self.reach == "everywhere":
            return self._handed_on(found, model, forget, _everywhere(found, self.margin))
        search = self._search(found, model, forget, context)
        chosen, size = torch.zeros(0, dtype=torch.long), self.clusters
        rounds = []
        while True:
            tensors = search.patch(chosen)
            proofs, recognised = search.judge(tensors)
            rounds.append(float(recognised.float().mean()))
            pending = recognised | ~proofs.certified
            pending[chosen] = False
            room = self.most_regions - len(chosen)
            if not room or not pending.any():
                break
            where = pending.nonzero()[:, 0]
            features = search.points.seen.features[where]
            chosen = torch.cat(
                [chosen, where[representatives(features, min(size, room), context.seed)]]
            )
            size *= 2
        return self._handed_on(found, model, forget, tensors, rounds=rounds, scale=search.mass)

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Put the patch on a copy, and prove again what the probe proved.

        Raises:
            MethodError: if the instructions belong to other rows or another network, or the patch
                in them does not hold what they claim.
        """
        started = time.perf_counter()
        check_instructions(instructions, forget, self.name, ("certified",))
        try:
            patched = put_on(model, {name: instructions.tensors[name] for name in NAMES})
        except (KeyError, ValueError) as error:
            raise MethodError(
                f"These instructions are not for this network: {error}. The model was left as it "
                f"was. Run the probe again."
            ) from error
        found = survey(patched, forget, context, self.batch_size)
        proofs = certify_rows(patched, found, forget, self.batch_size)
        if (instructions.tensors["certified"] & ~proofs.certified).any():
            raise MethodError(
                "The patch in these instructions does not hold what its probe certified. The model "
                "was left as it was. Run the probe again."
            )
        rounds = [float(share) for share in instructions.facts["rounds"]]
        recognised = _recognised(found.barred, found.logits)
        rows = len(recognised)
        return Edit(
            model=patched,
            curves={"forget_accuracy": rounds},
            epochs=len(rounds),
            seconds=time.perf_counter() - started,
            stopped=(
                f"{rows - int(recognised.sum())} of {rows} rows are blocked, "
                f"{int(proofs.certified.sum())} certified"
            ),
        )

    def _check_reach(self, model: nn.Module, forget: ForgetTarget) -> None:
        """Refuse what cannot be patched before anything is computed on many rows."""
        if self.reach == "regions":
            # A copy: BatchNorm of a network in training mode would learn from the row.
            head = find_head(copy.deepcopy(base_of(model)).cpu().eval())
            if head is None or not _is_flat(head, forget):
                raise MethodError(
                    "The network does not end in linear layers with ReLUs between them, so it has "
                    "no linear regions to put a patch on. It was left as it was. Whole classes can "
                    "be blocked on any network: `--option reach=everywhere`."
                )
        elif forget.kind != "class":
            raise MethodError(
                "A reach everywhere blocks whole classes, and the request selects rows of classes "
                "that are retained. The model was left as it was. Set `reach` to regions."
            )

    def _handed_on(
        self,
        found: Survey,
        model: nn.Module,
        forget: ForgetTarget,
        tensors: Mapping[str, Tensor],
        **facts: Any,
    ) -> Instructions:
        """The instructions, with what is proven of the network that they lead to."""
        patched = put_on(model, tensors)
        proofs = certify_rows(patched, found, forget, self.batch_size)
        again = survey(patched, forget, Context(), self.batch_size)
        recognised = _recognised(found.barred, again.logits)
        return found.instructions(
            {**tensors, "certified": proofs.certified},
            reach=self.reach,
            regions=len(tensors["patterns"]) if self.reach == "regions" else 0,
            blocked=int((~recognised).sum()),
            covered=int(proofs.covered.sum()),
            certified=int(proofs.certified.sum()),
            whole_regions=int(proofs.whole.sum()),
            radius=float(proofs.radius[proofs.certified].median()) if proofs.certified.any() else 0,
            **{"rounds": [float(recognised.float().mean())], **facts},
        )

    def _search(
        self, found: Survey, model: nn.Module, forget: ForgetTarget, context: Context
    ) -> "_Search":
        head, seen = _see(found, forget, context, self.batch_size)
        low, high = seen.features.amin(0), seen.features.amax(0)
        # A feature that is the same in all rows gets room too.
        wider = self.box * torch.maximum(high - low, (high - low).mean())
        low, high = low - wider, high + wider
        earlier = model.patch if isinstance(model, Patched) else None
        if earlier is not None and len(earlier.low):
            low, high = torch.minimum(low, earlier.low), torch.maximum(high, earlier.high)
        points = Points(seen, found.barred, frame(head, seen, found.barred, low, high))
        mass = float(seen.units.abs().sum(1).mean())
        by_class = forget.kind == "class"
        width = self.width or (CLASS_WIDTH if by_class else ROW_WIDTH)
        cell = self.cell or (None if by_class else ROW_CELL)
        return _Search(
            model=model,
            points=points,
            box=(low, high),
            mass=mass,
            cell=None if cell is None else cell * mass,
            width=width * mass,
            margin=self.margin,
        )


@dataclass(frozen=True)
class _Search:
    """What stays the same from round to round.

    `box` is (low, high), (D,) each; `mass` the rows' mean sum of absolute pre-activations; `cell`
    is how far from its row a region goes, `width` the violation at which its reach ends.
    """

    model: nn.Module
    points: Points
    box: tuple[Tensor, Tensor]
    mass: float
    cell: float | None
    width: float
    margin: float

    def patch(self, chosen: Tensor) -> dict[str, Tensor]:
        """The tensors of a patch with the linear regions of these rows."""
        seen, known = self.points.seen, self.points.frame
        sets, group = torch.unique(self.points.barred, dim=0, return_inverse=True)
        patterns = torch.where(seen.units > 0, 1, -1).to(torch.int8)
        if self.cell is None:
            chosen = _different(torch.cat([patterns, group[:, None].to(torch.int8)], 1), chosen)
        # Twice what the row needs whose classes lead furthest in the box: half of it is enough.
        leads = torch.where(self.points.barred[:, None], torch.inf, known.in_box).amin(2)
        furthest = max(0.0, float(torch.where(known.classes < 0, 0.0, leads).max()))
        return {
            "patterns": patterns[chosen],
            "groups": group[chosen],
            "barred": sets,
            "low": self.box[0],
            "high": self.box[1],
            "centres": seen.units[chosen] if self.cell is not None else seen.units[chosen, :0],
            "cell": torch.full((len(chosen),), UNLIMITED if self.cell is None else self.cell),
            "sharpness": torch.full((len(chosen),), 1 / self.width),
            "bound": torch.full((len(chosen),), 2 * (furthest + self.margin)),
            "margin": torch.tensor(self.margin),
        }

    def judge(self, tensors: Mapping[str, Tensor]) -> tuple[Certificates, Tensor]:
        """What is proven of the rows under a patch, and which are still recognised, (n,)."""
        patch = patch_for(self.model, tensors)
        with torch.no_grad():
            lowered = patch(self.points.seen)
            return prove(patch, self.points), _recognised(self.points.barred, lowered)


def certify_rows(
    patched: Patched, found: Survey, forget: ForgetTarget, batch_size: int
) -> Certificates:
    """What is proven of every forget row, by position; of a row's own label, or of all classes.

    Args:
        patched: on the CPU.
        found: a survey of the same rows.
        forget: the rows.
        batch_size: rows that the network sees at once.
    """
    parts, positions = [], []
    for batch in forget.rows.batches(batch_size):
        parts.append(certify(patched, batch.x, found.barred[batch.positions]))
        positions.append(batch.positions)
    order = torch.cat(positions).argsort()
    return Certificates(
        *(
            torch.cat([getattr(part, one.name) for part in parts])[order]
            for one in fields(Certificates)
        )
    )


def _everywhere(found: Survey, margin: float) -> dict[str, Tensor]:
    """The tensors of a patch that bars the classes of a request on every input."""
    return {
        "patterns": torch.zeros(1, 0, dtype=torch.int8),
        "groups": torch.zeros(1, dtype=torch.long),
        "barred": found.outputs.cpu()[None],
        "low": torch.zeros(0),
        "high": torch.zeros(0),
        "centres": torch.zeros(1, 0),
        "cell": torch.full((1,), UNLIMITED),
        "sharpness": torch.zeros(1),
        "bound": torch.full((1,), UNLIMITED),
        "margin": torch.tensor(margin),
    }


def _see(
    found: Survey, forget: ForgetTarget, context: Context, batch_size: int
) -> tuple[Head, Seen]:
    """The head, and what it computes on the forget rows, by position, on the CPU."""
    head = find_head(base_of(found.model))
    if head is None:
        message = "checked before"
        raise RuntimeError(message)
    parts, positions = [], []
    for batch in forget.rows.batches(batch_size):
        with torch.no_grad():
            parts.append(head.run(batch.x.to(context.device)))
        positions.append(batch.positions)
    order = torch.cat(positions).argsort()
    return head, Seen(
        *(torch.cat(column).float().cpu()[order] for column in zip(*parts, strict=True))
    )


def _is_flat(head: Head, forget: ForgetTarget) -> bool:
    """Whether one vector of features goes into the head for each row."""
    with torch.no_grad():
        return all(head.run(b.x).features.dim() == 2 for b in islice(forget.rows.batches(1), 1))


def _different(regions: Tensor, chosen: Tensor) -> Tensor:
    """The first of those rows (m,) that share a region, by the regions of all rows (n, N)."""
    _, which = torch.unique(regions[chosen], dim=0, return_inverse=True)
    first = torch.full((len(chosen),), len(chosen)).scatter_reduce(
        0, which, torch.arange(len(chosen)), "amin"
    )
    return chosen[first[first < len(chosen)].sort().values]


def _recognised(barred: Tensor, logits: Tensor) -> Tensor:
    """Which rows (n,) are answered with one of their barred classes (n, K)."""
    return barred.gather(1, logits.argmax(1, keepdim=True))[:, 0]

"""The feature term of PTE: move what the head sees of forget rows, and hold what it sees of others.

The push and the pull look at logits alone, and a head that refuses a class satisfies both while
the layers below keep it apart. This term acts on the input of the head: forget rows are moved onto
features that retained classes have. It is ours, since the paper's losses are not public. Related:
COLA's contraction of features (Jeon et al. 2024, arXiv 2405.17878) and OPC's one-point contraction.

With phi the student's features and phi_0 the original's, divided by the anchors' variance:

    redirect:  |phi(x) - mean of phi_0 over the anchors of the class x is instructed to go to|^2
    contract:  |phi(x) - mean of phi_0 over all anchors|^2
    both:    + |phi(a) - phi_0(a)|^2 on the anchors a, which hold the retained classes in place
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from lethe.errors import MethodError
from lethe.unlearning.layers import output_layer, with_features

if TYPE_CHECKING:
    from lethe.unlearning.push_pull import Reference

InsideAim = Literal["none", "redirect", "contract"]
AT_ONCE = 256


@dataclass(frozen=True)
class Inside:
    """Where features of forget rows are to go.

    `targets` (K, D) is where rows instructed to go to each class belong; `variance` is the mean
    squared distance of the anchors' features from their mean.
    """

    head: str
    targets: Tensor
    variance: float
    weight: float

    def head_of(self, model: nn.Module) -> nn.Module:
        """The layer whose input is moved."""
        return model.get_submodule(self.head)

    def loss(self, features: Sequence[Tensor], labels: Tensor, held: Tensor) -> Tensor:
        """Mean squared distances, in units of the variance.

        Args:
            features: the student's of forget rows, probes and anchors, (m, D) each.
            labels: instructions of the forget rows, (m,).
            held: the original's features of the anchors.
        """
        clean, _, anchors = features
        moved = (clean - self.targets[labels]).square().sum(1).mean()
        kept = (anchors - held).square().sum(1).mean() if len(anchors) else moved.new_zeros(())
        return (moved + kept) / self.variance


def aim(
    model: nn.Module, anchors: "Reference", forgotten: Tensor, *, aim: InsideAim, weight: float
) -> tuple[Inside, Tensor]:
    """Where the features are to go, and the original's features of the anchors (m, D), on the CPU.

    Args:
        model: the original, in eval mode, on the device that the edit runs on.
        anchors: stand-ins of the retained classes.
        forgotten: mask (K,) on that device.
        aim: "redirect" or "contract".
        weight: of the term.

    Raises:
        MethodError: if there are no anchors, or the logits do not come from a linear layer.
    """
    if not len(anchors.inputs):
        raise MethodError(
            "Features can be moved only with anchors. The model was left as it was. Set "
            "`anchors_per_class` above 0, or `inside` to none."
        )
    head = output_layer(model, anchors.inputs[:2].to(forgotten.device))
    layer = model.get_submodule(head)
    with torch.no_grad():
        features = torch.cat(
            [
                with_features(model, layer, part.to(forgotten.device))[0].float()
                for part in torch.split(anchors.inputs, AT_ONCE)
            ]
        )
    centre = features.mean(0)
    variance = float((features - centre).square().sum(1).mean())
    if not 0 < variance < float("inf"):
        raise MethodError(
            f"The variance of the anchors' features is {variance}, so they have no scale to move "
            f"on. The model was left as it was. Set `inside` to none."
        )
    targets = centre.repeat(len(forgotten), 1)
    labels = anchors.labels.to(forgotten.device)
    if aim == "redirect":
        for label in range(len(forgotten)):
            mine = features[labels == label]
            if len(mine):
                targets[label] = mine.mean(0)
    return Inside(head, targets, variance, weight), features.cpu()

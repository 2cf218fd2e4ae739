"""Margins of networks on examples, and arrays of them: what the other modules here start from.

    unlearned = margins(torch.stack([logits(network) for network in unlearned_networks]), labels)

For benchmarks only: the figures made from them need shadow models or a retrained model.

The margin of Georgiev et al. 2024 (arXiv 2410.23232), logit_y - logsumexp(all other logits), and
the logit-scaled confidence phi = log(p_y / (1 - p_y)) of Carlini et al. 2022 (arXiv 2112.03570,
section IV) are one number: both are the log-odds of the own label. It is taken from logits, since
1 - p_y is zero in floating point long before the margin stops growing.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lethe.evaluation.membership import confidence_scores

if TYPE_CHECKING:
    from torch import Tensor

# A margin is infinite where a logit is; Gaussians and histograms need an end. Georgiev et al. clip
# there as well, and log-odds of 100 mean a probability of 4e-44.
CLIP = 100.0


def margins(logits: "Tensor", labels: "Tensor") -> NDArray[np.float64]:
    """The log-odds of each example's own label, in nats.

    Args:
        logits: (E, K) of one network or (M, E, K) of M networks on the same E examples.
        labels: (E,) in 0..K-1.

    Returns:
        (E,) or (M, E); NaN where a softmax is not finite.

    Raises:
        ValueError: if the shapes do not fit each other.
    """
    *models, examples, width = logits.shape
    if len(models) > 1 or tuple(labels.shape) != (examples,):
        shapes = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        message = f"Logits and labels have shapes {shapes}; expected is (M, E, K) and (E,)."
        raise ValueError(message)
    flat = confidence_scores(logits.reshape(-1, width), labels.repeat(*models or (1,)))
    return np.asarray(flat.reshape(*models, examples).cpu())


def confidences(margin: ArrayLike) -> NDArray[np.float64]:
    """The probability of the own label, p_y = sigmoid(margin); same shape."""
    from scipy.special import expit

    return np.asarray(expit(np.asarray(margin, dtype=np.float64)))


def clipped(values: ArrayLike, name: str, *, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Values as float64 inside [-100, 100], checked.

    Args:
        values: what to check; infinite ones are clipped.
        name: what to call them in a message.
        shape: expected lengths, None where any but zero will do.

    Raises:
        ValueError: on another shape, or if one of them is not a number.
    """
    array = np.asarray(values, dtype=np.float64)
    fits = array.ndim == len(shape) and all(
        found == wanted or (wanted is None and found > 0)
        for found, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        expected = ", ".join("any" if length is None else str(length) for length in shape)
        message = f"The {name} have shape {array.shape}; expected is ({expected})."
        raise ValueError(message)
    if np.isnan(array).any():
        broken = int(np.isnan(array).sum())
        message = f"{broken} of the {name} are not a number. Leave those examples or models out."
        raise ValueError(message)
    return array.clip(-CLIP, CLIP)

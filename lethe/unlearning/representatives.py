"""Representative points: a few of many, each the real point nearest to a centroid.

As in PRUNE's released code (arXiv 2505.06520): k-means, then the point nearest to each centroid.
"""

import numpy as np
import torch
from torch import Tensor


def representatives(points: Tensor, count: int, seed: int) -> Tensor:
    """Positions of at most `count` different points among (n, D), sorted.

    Args:
        points: features, float32, on the CPU.
        count: how many clusters to make.
        seed: of the first centroids (k-means++).
    """
    if count >= len(points):
        return torch.arange(len(points))
    from scipy.cluster.vq import kmeans2

    # Clusters that run empty are only fewer representatives.
    centroids, _ = kmeans2(
        points.double().numpy(),
        count,
        minit="++",
        rng=np.random.default_rng(seed),
        missing="warn",
    )
    found = torch.from_numpy(np.asarray(centroids))
    found = found[found.isfinite().all(1)]
    nearest = torch.cdist(found, points.double()).argmin(1)
    return torch.tensor(sorted(set(nearest.tolist())))

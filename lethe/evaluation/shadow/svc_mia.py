"""SVC attack on confidence ("MIA-efficacy"), as comparison tables of the field report it.

    svc_mia(retained, held_out, forget, seed=0).efficacy     # probabilities of the own label, (N,)

For benchmarks only: it needs retained training rows, and means little without the figure of a
retrained model beside it.

Jia et al. 2023, "Model Sparsity Can Simplify Machine Unlearning" (Unlearn-Sparse, arXiv 2304.04934)
and Fan et al. 2024, "SalUn" (arXiv 2310.12508), after Song and Mittal 2021 (arXiv 2003.10595): a
support vector classifier (radial kernel, C = 3, gamma = 1 over the number of inputs, which is one)
learns to tell retained training rows, the members, from held-out rows by the probability of the own
label, and is then asked about the forget rows.

**Sign.** `efficacy` is the share of forget rows taken for NON-members: higher is better forgetting,
up to what the retrained model has, which is 1 when a whole class was forgotten. DELETE, SSD and Bad
Teacher report the share taken for members, where lower is better: one minus this.

Only the confidence is attacked. The column `m_entropy` of the public code is wrong twice: the log
of 1 - p is computed as the log of p, and every label of the batch is exchanged in every row.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from lethe.evaluation.results import Result, Share


class SvcMia(Result):
    """The attack's answers; see the module for the sign.

    `attack_accuracy` is its balanced accuracy on the rows it learned from. Near 0.5 it cannot tell
    members from non-members, and `efficacy` says nothing about forgetting.
    """

    efficacy: Share
    attack_accuracy: Share
    forget_rows: int = Field(ge=1)
    rows_per_side: int = Field(ge=1)


def svc_mia(
    retained: ArrayLike,
    held_out: ArrayLike,
    forget: ArrayLike,
    *,
    seed: int,
    max_rows: int | None = None,
) -> SvcMia:
    """Fit the attack on retained and held-out rows and ask it about the forget rows.

    Args:
        retained: (N,) probabilities of the own label on retained training rows.
        held_out: (M,) on held-out rows.
        forget: (F,) on forgotten training rows.
        seed: of the rows that are drawn where one side has more than the other. The public code
            takes the first ones.
        max_rows: at most so many rows a side; fitting takes time quadratic in them. All by default.

    Raises:
        ValueError: if one of them is empty or not made of probabilities.
    """
    from sklearn.svm import SVC

    rng = np.random.default_rng(seed)
    members, others, asked = (
        _probabilities(values, name)
        for values, name in ((retained, "retained"), (held_out, "held-out"), (forget, "forget"))
    )
    count = min(len(members), len(others), max_rows or len(members))
    learned = np.concatenate([rng.choice(side, count, replace=False) for side in (members, others)])
    truth = np.repeat([1, 0], count)
    attack = SVC(C=3, kernel="rbf", gamma="auto").fit(learned[:, None], truth)
    return SvcMia(
        efficacy=float((attack.predict(asked[:, None]) == 0).mean()),
        attack_accuracy=float((attack.predict(learned[:, None]) == truth).mean()),
        forget_rows=len(asked),
        rows_per_side=count,
    )


def _probabilities(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"The {name} rows need one probability each, in 0..1, and at least one.")
    return array

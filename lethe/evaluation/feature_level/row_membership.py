"""Are rows that were trained on told from others by their features?

A classifier is trained to tell the features of forgotten training rows from those of held-out rows
of the same person or classes, and tried on rows that it did not see. Where the two kinds differ by
themselves, as recordings of another day do, only a network retrained without the rows is a fair
reference; a fresh network shows what the inputs alone give away.
"""

from torch import Tensor

from lethe.evaluation.membership import MIN_ROWS, Membership, attack

FOLDS = 5


def row_membership(members: Tensor, others: Tensor, *, seed: int) -> Membership | None:
    """The membership attack on features instead of losses.

    Standardised features, logistic regression (scikit-learn's, L2 with C = 0.1, classes weighted
    equally), five-fold cross-validation: each row is scored by a classifier that never saw it.

    Args:
        members: (N, D) features of rows that were trained on.
        others: (M, D) features of rows that were not.
        seed: of folds and interval.

    Returns:
        None with fewer than five rows on either side, or features that are not finite.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if min(len(members), len(others)) < MIN_ROWS:
        return None
    features = np.concatenate([members.double().numpy(), others.double().numpy()])
    if not np.isfinite(features).all():
        return None
    truth = np.arange(len(features)) < len(members)
    head = LogisticRegression(C=0.1, class_weight="balanced", max_iter=200)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(
        make_pipeline(StandardScaler(), head), features, truth, cv=folds, method="decision_function"
    )
    return attack(scores[truth], scores[~truth], seed)

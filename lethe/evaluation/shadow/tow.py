"""Distances to a retrained model in accuracy: ToW, ToW-MIA and the average gap.

    unlearned = Accuracies(forget=0.02, retained=0.97, held_out=0.93)
    tow(unlearned, Accuracies(forget=0.0, retained=0.99, held_out=0.94))      # 1 is best

For benchmarks only: they need a retrained model.

Everything is a share in [0, 1]; percentages are refused. Public code mixes both: RUM divides
accuracies by 100 and leaves its attack as a share. The accuracy on forget rows is meant as it is;
"UA" of the literature is one minus it, and its distance to the retrained model's is the same.
"""

from lethe.evaluation.results import Partition, Result, Share


class Accuracies(Result):
    """A model's accuracies, and the share that an attack on the forget rows gave, if any.

    `forget` and `retained` are of training rows, `held_out` of retained held-out rows. `mia` is
    whatever attack, the same for both models, usually `svc_mia` in this package.
    """

    forget: Share
    retained: Share
    held_out: Share
    mia: Share | None = None

    @classmethod
    def of(cls, partition: Partition, mia: float | None = None) -> "Accuracies":
        """Those of an evaluation's partition.

        Raises:
            ValueError: if one of the three was not measured.
        """
        parts = ("forget_train", "retained_train", "retained_held_out")
        found = [getattr(partition, part) for part in parts]
        missing = [part for part, accuracy in zip(parts, found, strict=True) if accuracy is None]
        if missing:
            raise ValueError(f"Not measured: {', '.join(missing)}.")
        forget, retained, held_out = (accuracy.share for accuracy in found)
        return cls(forget=forget, retained=retained, held_out=held_out, mia=mia)


def tow(unlearned: Accuracies, retrained: Accuracies) -> float:
    """Tug-of-war: the product of 1 - |accuracy - retrained accuracy| over the three; 1 is best.

    Zhao et al. 2024, "What makes unlearning hard and what to do about it" (RUM, arXiv 2406.01257).
    """
    return _closeness(unlearned, retrained, ("forget", "retained", "held_out"))


def tow_mia(unlearned: Accuracies, retrained: Accuracies) -> float:
    """ToW with the attack in place of the accuracy on forget rows, as RUM's public code has it.

    Raises:
        ValueError: if a model's attack was not measured.
    """
    return _closeness(unlearned, retrained, ("mia", "retained", "held_out"))


def average_gap(unlearned: Accuracies, retrained: Accuracies) -> float:
    """Mean distance to the retrained model over the accuracies, and the attack if given; 0 is best.

    Fan et al. 2024, "SalUn" (arXiv 2310.12508), who give it in percentage points over all four.

    Raises:
        ValueError: if the attack was measured for one of the models only.
    """
    names = ["forget", "retained", "held_out"]
    if unlearned.mia is not None or retrained.mia is not None:
        names.append("mia")
    return sum(_gap(unlearned, retrained, name) for name in names) / len(names)


def _closeness(unlearned: Accuracies, retrained: Accuracies, names: tuple[str, ...]) -> float:
    product = 1.0
    for name in names:
        product *= 1 - _gap(unlearned, retrained, name)
    return product


def _gap(unlearned: Accuracies, retrained: Accuracies, name: str) -> float:
    ours, theirs = getattr(unlearned, name), getattr(retrained, name)
    if ours is None or theirs is None:
        raise ValueError(f"`{name}` was not measured for both models.")
    return float(abs(ours - theirs))

"""The training card: what of the training data may be known when the data are away.

    card = TrainingCard.load(path)
    card.for_class("3").feature_mean             # (D,), or None
    losses, own = card.loss_quantiles("held_out")  # (K, Q), (K,)
    card.fisher["head.weight"]                   # of the parameter's shape

It describes one model: of each class the numbers of rows, the held-out accuracy, the mean of the
features and quantiles of the loss, and of all training rows together the diagonal of the empirical
Fisher information (`lethe.data.fisher`). Where training made them it also holds Kronecker factors
of the Fisher information (`lethe.data.curvature`) and people's losses with networks that never saw
them (`lethe.data.unseen_people`). Nothing else of the rows is in it.

A class with fewer than `facts.min_rows` rows of a split has no mean and no quantiles of its own
there: all classes' quantiles stand in for them. No value is ever NaN: the counts tell what is
absent.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lethe.data.card_facts import LEVELS, CardFacts, ClassCard, Split, Status
from lethe.data.curvature import Factors
from lethe.data.mixture import mixture
from lethe.data.unseen_people import UnseenPeople
from lethe.errors import ModelError

FILE_NAME = "training_card.safetensors"

_ALL = {"train": "all_train_loss", "held_out": "all_held_out_loss"}
_FISHER = "fisher/"
_CURVATURE = ("curvature_inputs/", "curvature_outputs/")
_UNSEEN = ("unseen_rows", "unseen_loss", "unseen_all_loss")


@dataclass(frozen=True, eq=False)
class TrainingCard:
    """Statistics of a model's training and held-out rows, K classes in the order of the outputs.

    All tensors are on the CPU. Rows of a table whose count is below `facts.min_rows` are zero and
    say nothing; read them through `for_class` and `loss_quantiles`.

    Attributes:
        classes: names, K of them.
        facts: what is described and how it was made.
        train_rows: (K,) int64, training rows with that label.
        held_out_rows: (K,) int64.
        held_out_accuracy: (K,) float32, the share of held-out rows answered with their label.
        feature_means: (K, D) float32, mean input of the last linear layer executed, flattened;
            D is 0 for a network without one.
        train_loss: (K, Q) float32, quantiles of the cross-entropy of the training rows.
        held_out_loss: (K, Q) float32, of the held-out rows.
        all_train_loss: (Q,) float32 over all classes' rows; None when there are too few.
        all_held_out_loss: likewise.
        fisher: by name of the parameter, its diagonal Fisher information, float32.
        curvature: by name of the layer, Kronecker factors of its Fisher information; empty where
            they were not made.
        unseen: people's losses with networks that never saw them; None where they were not made.
    """

    classes: tuple[str, ...]
    facts: CardFacts
    train_rows: Tensor
    held_out_rows: Tensor
    held_out_accuracy: Tensor
    feature_means: Tensor
    train_loss: Tensor
    held_out_loss: Tensor
    all_train_loss: Tensor | None
    all_held_out_loss: Tensor | None
    fisher: Mapping[str, Tensor]
    curvature: Mapping[str, Factors] = field(default_factory=dict)
    unseen: UnseenPeople | None = None

    def __post_init__(self) -> None:
        """Refuse tables that do not fit each other.

        Raises:
            ValueError: if a table has another shape than its class says, or a value is not finite.
        """
        count, levels = len(self.classes), len(LEVELS)
        shapes = {
            "train_rows": (count,),
            "held_out_rows": (count,),
            "held_out_accuracy": (count,),
            "feature_means": (count, self.feature_means.shape[-1]),
            "train_loss": (count, levels),
            "held_out_loss": (count, levels),
            "all_train_loss": (levels,),
            "all_held_out_loss": (levels,),
        }
        if self.unseen is not None and self.unseen.rows.shape[1] != count:
            message = f"people's losses are of {self.unseen.rows.shape[1]} classes, not {count}"
            raise ValueError(message)
        for name, table in self._tables().items():
            if tuple(table.shape) != shapes.get(name, tuple(table.shape)):
                message = f"{name} has shape {tuple(table.shape)}, expected is {shapes[name]}"
                raise ValueError(message)
            if not torch.isfinite(table).all():
                message = f"{name} holds values that are not finite"
                raise ValueError(message)

    def for_class(self, which: str | int) -> ClassCard:
        """What is said of one class, by name or index.

        Raises:
            ModelError: if the card knows no such class.
        """
        index = self._index(which)
        name = self.classes[index]
        train, held_out = int(self.train_rows[index]), int(self.held_out_rows[index])
        known, measured = train >= self.facts.min_rows, held_out >= self.facts.min_rows
        few: Status = "forgotten" if name in self.facts.forgotten else "few_rows"
        mean = self.feature_means[index]
        return ClassCard(
            name=name,
            status="known" if known else few,
            train_rows=train,
            held_out_rows=held_out,
            held_out_accuracy=float(self.held_out_accuracy[index]) if measured else None,
            feature_mean=mean if known and len(mean) else None,
            train_loss=self.train_loss[index] if known else self.all_train_loss,
            train_loss_own=known,
            held_out_loss=self.held_out_loss[index] if measured else self.all_held_out_loss,
            held_out_loss_own=measured,
        )

    def loss_quantiles(self, split: Split) -> tuple[Tensor, Tensor]:
        """Loss quantiles (K, Q) of every class, and (K,) bool: whether they are its own.

        All classes' quantiles stand in for a class that has none.

        Raises:
            ModelError: if a class has none and there are none of all classes either.
        """
        table = self.train_loss if split == "train" else self.held_out_loss
        own = self._rows(split) >= self.facts.min_rows
        everything: Tensor | None = getattr(self, _ALL[split])
        if everything is None and not bool(own.all()):
            words = "training" if split == "train" else "held-out"
            raise ModelError(
                f"The training card holds no loss of {words} rows. Nothing was changed. Make one "
                f"with rows of that split: `lethe model card NAME/NUMBER --dataset data/NAME`."
            )
        if everything is None:
            return table, own
        return torch.where(own[:, None], table, everything), own

    def known_means(self) -> tuple[Tensor, Tensor]:
        """Feature means (M, D) of the M classes that have one, and their indices (M,) int64."""
        known = (self.train_rows >= self.facts.min_rows).nonzero().flatten()
        return self.feature_means[known], known

    def without(self, classes: Sequence[str]) -> "TrainingCard":
        """The card without what it says of these classes, for a model that forgot them.

        Their counts, accuracy, mean and quantiles become zero. All classes' quantiles are made
        anew as a mixture of the remaining classes' own, since from the old ones a forgotten class
        could be told by subtraction; so are each person's. The Fisher information, diagonal and
        Kronecker factors, is one sum over all rows and stays.

        Raises:
            ModelError: if the card knows no such class.
        """
        gone = torch.zeros(len(self.classes), dtype=torch.bool)
        gone[[self._index(name) for name in classes]] = True
        names = {*self.facts.forgotten, *classes}
        trained = bool((self.train_rows[gone] > 0).any())
        facts = self.facts.model_copy(
            update={
                "forgotten": tuple(name for name in self.classes if name in names),
                "fisher_holds_forgotten": self.facts.fisher_holds_forgotten
                or (trained and bool(self.fisher)),
                "curvature_holds_forgotten": self.facts.curvature_holds_forgotten
                or (trained and bool(self.curvature)),
            }
        )
        kept = ~gone
        return replace(
            self,
            facts=facts,
            train_rows=self.train_rows * kept,
            held_out_rows=self.held_out_rows * kept,
            held_out_accuracy=self.held_out_accuracy * kept,
            feature_means=self.feature_means * kept[:, None],
            train_loss=self.train_loss * kept[:, None],
            held_out_loss=self.held_out_loss * kept[:, None],
            all_train_loss=self._mixed("train", kept),
            all_held_out_loss=self._mixed("held_out", kept),
            unseen=None if self.unseen is None else self.unseen.without_classes(gone),
        )

    def with_forgotten_rows(self, fingerprints: Collection[str] = ()) -> "TrainingCard":
        """The same card, noting that rows in its aggregates were forgotten since.

        For people and single rows: what they added cannot be taken out again. Only a person's own
        losses with networks that never saw them can, and are.

        Args:
            fingerprints: of the people all or some of whose rows were forgotten.
        """
        update = {
            "statistics_hold_forgotten": True,
            "fisher_holds_forgotten": bool(self.fisher),
            "curvature_holds_forgotten": bool(self.curvature),
        }
        return replace(
            self,
            facts=self.facts.model_copy(update=update),
            unseen=None if self.unseen is None else self.unseen.without(fingerprints),
        )

    def save(self, path: Path) -> None:
        """Write everything to one safetensors file; equal cards give equal bytes."""
        about = {"classes": list(self.classes), "facts": self.facts.model_dump(mode="json")}
        if self.unseen is not None:
            about["people"] = list(self.unseen.fingerprints)
        text = json.dumps(about, sort_keys=True, ensure_ascii=False)
        tensors = {name: table.contiguous() for name, table in self._tables().items()}
        save_file(tensors, path, metadata={"card": text})

    @classmethod
    def load(cls, path: Path) -> "TrainingCard":
        """Read what `save` wrote.

        Raises:
            ModelError: if the file is no training card, or is damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["card"])
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
            facts = CardFacts.model_validate_json(json.dumps(about["facts"]))
            fisher = {
                name.removeprefix(_FISHER): found.pop(name)
                for name in list(found)
                if name.startswith(_FISHER)
            }
            curvature = _factors(found)
            unseen = None
            if "people" in about:
                unseen = UnseenPeople(tuple(about["people"]), *(found.pop(n) for n in _UNSEEN))
            whole = {name: found.pop(name, None) for name in _ALL.values()}
            return cls(
                tuple(about["classes"]),
                facts,
                fisher=fisher,
                curvature=curvature,
                unseen=unseen,
                **whole,
                **found,
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            reason = "its facts" if isinstance(error, ValidationError) else str(error)
            raise ModelError(
                f"The file {path.name} is no training card that this version of Lethe reads: "
                f"{reason}. Nothing was loaded or changed. Make the card again: "
                f"`lethe model card NAME/NUMBER --dataset data/NAME`."
            ) from error

    def summary(self) -> dict[str, Any]:
        """The card for a person or a script, JSON throughout: no means, no Fisher information.

        Of people it says how many, not who.
        """
        lines = [self.for_class(index) for index in range(len(self.classes))]
        return {
            **self.facts.model_dump(mode="json"),
            "notes": list(self.facts.notes),
            "train_rows": int(self.train_rows.sum()),
            "held_out_rows": int(self.held_out_rows.sum()),
            "feature_size": int(self.feature_means.shape[1]),
            "fisher_parameters": sum(table.numel() for table in self.fisher.values()),
            "curvature_layers": len(self.curvature),
            "curvature_numbers": sum(
                f.inputs.numel() + f.outputs.numel() for f in self.curvature.values()
            ),
            "unseen_people": 0 if self.unseen is None else len(self.unseen),
            "levels": list(LEVELS),
            "all_train_loss": _listed(self.all_train_loss),
            "all_held_out_loss": _listed(self.all_held_out_loss),
            "classes": [
                {
                    "name": line.name,
                    "status": line.status,
                    "train_rows": line.train_rows,
                    "held_out_rows": line.held_out_rows,
                    "held_out_accuracy": line.held_out_accuracy,
                    "train_loss": _listed(line.train_loss),
                    "train_loss_own": line.train_loss_own,
                    "held_out_loss": _listed(line.held_out_loss),
                    "held_out_loss_own": line.held_out_loss_own,
                }
                for line in lines
            ],
        }

    def _index(self, which: str | int) -> int:
        if isinstance(which, int) and 0 <= which < len(self.classes):
            return which
        if which in self.classes:
            return self.classes.index(str(which))
        raise ModelError(
            f"The training card knows no class {which!r}; it knows {', '.join(self.classes)}. "
            f"Nothing was changed. `lethe model card NAME/NUMBER` prints it."
        )

    def _rows(self, split: Split) -> Tensor:
        return self.train_rows if split == "train" else self.held_out_rows

    def _mixed(self, split: Split, kept: Tensor) -> Tensor | None:
        """All classes' quantiles once only some are kept; as they are if none of the others counts.

        Each class is weighted by its rows.
        """
        everything: Tensor | None = getattr(self, _ALL[split])
        rows = self._rows(split)
        if everything is None or not bool((rows[~kept] > 0).any()):
            return everything
        own = (kept & (rows >= self.facts.min_rows)).nonzero().flatten()
        if not len(own):
            return None
        table = self.train_loss if split == "train" else self.held_out_loss
        return mixture(table[own], rows[own])

    def _tables(self) -> dict[str, Tensor]:
        """Every tensor by the name it is stored under."""
        names = (
            "train_rows",
            "held_out_rows",
            "held_out_accuracy",
            "feature_means",
            "train_loss",
            "held_out_loss",
            *_ALL.values(),
        )
        tables = {name: getattr(self, name) for name in names}
        found = {name: table for name, table in tables.items() if table is not None}
        found |= {f"{_FISHER}{name}": table for name, table in self.fisher.items()}
        for name, factors in self.curvature.items():
            found[f"{_CURVATURE[0]}{name}"] = factors.inputs
            found[f"{_CURVATURE[1]}{name}"] = factors.outputs
        if self.unseen is not None:
            people = (self.unseen.rows, self.unseen.loss, self.unseen.all_loss)
            found |= dict(zip(_UNSEEN, people, strict=True))
        return found


def _factors(found: dict[str, Tensor]) -> dict[str, Factors]:
    """Take the Kronecker factors out of a file's tensors."""
    inputs, outputs = _CURVATURE
    names = [name.removeprefix(inputs) for name in found if name.startswith(inputs)]
    return {n: Factors(found.pop(inputs + n), found.pop(outputs + n)) for n in names}


def _listed(values: Tensor | None) -> list[float] | None:
    return None if values is None else [float(value) for value in values]

"""Selective Synaptic Dampening (SSD): weaken the weights that matter to the forget rows above all.

    instructions = SSD().probe(model, forget, context)     # how much more than to all rows
    edit = SSD().edit(model, forget, instructions, context)

Foster, Schoepf and Brintrup 2024 (AAAI, arXiv 2308.07707): with the diagonal Fisher information F_f
of the forget rows and F_D of all training rows, each weight with F_f > alpha F_D becomes
min(lambda F_D / F_f, 1) times itself. One pass, no training. F_D comes from the training card, so
no training row is needed.

At its published defaults SSD ruins some models for some classes. A guard of ours therefore bounds
how many weights it may dampen and how far the forget rows' answers among the other classes may
drift, and raises alpha until both hold. See docs/methods/ssd.md.
"""

import copy
import time
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lethe.data.fisher import fisher_diagonal
from lethe.errors import MethodError
from lethe.unlearning.classes import barred, barred_outputs
from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetKind,
    ForgetTarget,
    Instructions,
    Need,
    Searches,
)
from lethe.unlearning.stored_card import check_fisher, required_card
from lethe.unlearning.survey import check_instructions, survey

RATIO = "ratio."


class SSD(BaseModel):
    """Settings of SSD and of the guard."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str] = "ssd"
    needs: ClassVar[Need] = "stored_statistics"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})
    searches: ClassVar[Searches] = {
        "alpha": (2.0, 3.0, 5.0, 10.0, 20.0),
        "dampening": (0.5, 1.0),
    }

    alpha: float = Field(default=10.0, gt=0, description="dampen where F_f > alpha F_D")
    dampening: float = Field(
        default=1.0, gt=0, description="lambda: a dampened weight is scaled by lambda F_D / F_f"
    )
    most_dampened: float = Field(
        default=0.08, gt=0, le=1, description="largest share of the weights that may be dampened"
    )
    most_drift: float = Field(
        default=1.0, gt=0, description="largest drift of the forget rows' other answers, in nats"
    )
    alpha_growth: float = Field(
        default=1.5, gt=1, description="factor by which the guard raises alpha"
    )
    tries: int = Field(default=20, ge=1, description="most values of alpha that are tried")
    fisher_rows: int = Field(
        default=2000, ge=1, description="most forget rows in their Fisher information"
    )
    batch_size: int = Field(default=256, ge=1, description="forget rows at once")

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Compare what matters to the forget rows with what matters to all: F_f / F_D.

        Raises:
            MethodError: if there is no card, it is of another network, or the model cannot forget
                the rows.
        """
        card = required_card(context, self.name)
        check_fisher(card, model)
        found = survey(model, forget, context, self.batch_size)
        fisher = fisher_diagonal(
            model,
            forget.rows,
            device=context.device,
            most_rows=self.fisher_rows,
            seed=context.seed,
            labels=found.labels,
        )
        ratios = {name: ratio(one, card.fisher[name]) for name, one in fisher.diagonal.items()}
        over = sum(int((one > self.alpha).sum()) for one in ratios.values())
        return found.instructions(
            {"logits": found.logits, **{RATIO + name: one for name, one in ratios.items()}},
            fisher_rows=fisher.rows,
            weights=sum(one.numel() for one in ratios.values()),
            over_alpha=over,
            largest_ratio=largest(ratios),
            card_fisher_rows=card.facts.fisher_rows,
            card_holds_forgotten=card.facts.fisher_holds_forgotten,
        )

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Dampen a copy, at the first alpha that the guard lets pass.

        Raises:
            MethodError: if the instructions belong to other rows or another model, or no alpha
                passes the guard.
        """
        started = time.perf_counter()
        check_instructions(instructions, forget, self.name, ("logits",))
        ratios = _of(instructions, model)
        free = dict(_free(model))
        weights = sum(one.numel() for one in ratios.values())
        curves: dict[str, list[float]] = {
            name: [] for name in ("alpha", "dampened_share", "drift", "forget_accuracy")
        }
        reasons: list[str] = []
        alpha = self.alpha
        for done in range(1, self.tries + 1):
            student = copy.deepcopy(model).to(context.device).eval()
            chosen = {name: one for name, one in ratios.items() if name in free}
            dampen(student, chosen, alpha, self.dampening)
            share = sum(int((one > alpha).sum()) for one in chosen.values()) / weights
            look = self._look(student, forget, instructions.tensors["logits"], context)
            for name, value in zip(curves, (alpha, share, *look), strict=True):
                curves[name].append(value)
            context.progress(done, self.tries)
            reason = self._objection(share, look.drift)
            if reason is None:
                context.progress(self.tries, self.tries)
                return Edit(
                    model=student.cpu(),
                    curves=curves,
                    epochs=done,
                    seconds=time.perf_counter() - started,
                    stopped=_sentence(look, share, alpha, largest(chosen), reasons),
                )
            reasons.append(reason)
            alpha *= self.alpha_growth
        raise MethodError(
            f"No alpha up to {curves['alpha'][-1]:.3g} passes the guard of `ssd`: at the last, "
            f"{reasons[-1]}. The model was left as it was. Raise `tries` in the method's options, "
            f"or name another method: `lethe unlearn --method NAME`."
        )

    def _objection(self, share: float, drift: float) -> str | None:
        """Why the guard does not let a try pass."""
        if share > self.most_dampened:
            return f"{share:.1%} of the weights would be dampened"
        if not drift <= self.most_drift:  # NaN does not pass either
            return f"the forget rows' other answers would drift by {drift:.2f} nats"
        return None

    @torch.no_grad()
    def _look(
        self, student: nn.Module, forget: ForgetTarget, logits: Tensor, context: Context
    ) -> "Look":
        """What dampening did to the forget rows."""
        outputs = barred_outputs(student, forget, context.device).cpu()
        drifts = hits = 0.0
        for batch in forget.rows.batches(self.batch_size):
            after = student(batch.x.to(context.device)).float().cpu()
            wrong = barred(outputs, batch.y)
            drifts += float(drift(logits[batch.positions], after, wrong).sum())
            hits += float(wrong.gather(1, after.argmax(1, keepdim=True)).sum())
        return Look(drifts / len(forget.rows), hits / len(forget.rows))


class Look(NamedTuple):
    """Mean drift in nats and the share of forget rows still recognised."""

    drift: float
    recognised: float


def ratio(forget: Tensor, everything: Tensor) -> Tensor:
    """F_f / F_D; zero where F_f is, and infinite where only F_D is."""
    return torch.where(forget > 0, forget / everything, 0.0)


def largest(ratios: Mapping[str, Tensor]) -> float:
    """The largest ratio; that of a float32 where it is infinite."""
    highest = max((float(one.max()) for one in ratios.values() if one.numel()), default=0.0)
    return min(highest, torch.finfo(torch.float32).max)


@torch.no_grad()
def dampen(model: nn.Module, ratios: Mapping[str, Tensor], alpha: float, dampening: float) -> None:
    """Scale each weight whose ratio exceeds alpha by min(lambda / ratio, 1), in place."""
    for name, one in ratios.items():
        weight = model.get_parameter(name)
        factor = torch.where(one > alpha, (dampening / one).clamp_max(1), 1.0)
        weight.mul_(factor.to(weight.device, weight.dtype))


def drift(before: Tensor, after: Tensor, wrong: Tensor) -> Tensor:
    """KL divergence (B,) between answers before and after, logits (B, K), among the other classes.

    `wrong` (B, K) marks what is left out: the forgotten classes and the row's own.
    """
    first, second = (
        z.double().masked_fill(wrong, -torch.inf).log_softmax(1) for z in (before, after)
    )
    return (first.exp() * (first - second)).masked_fill(wrong, 0).sum(1)


def _free(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters that may change: what the owner froze beside others stays as it is."""
    serving = not any(weight.requires_grad for weight in model.parameters())
    return [(n, w) for n, w in model.named_parameters() if w.requires_grad or serving]


def _of(instructions: Instructions, model: nn.Module) -> dict[str, Tensor]:
    """The ratios, by name of the parameter."""
    found = {
        name.removeprefix(RATIO): tensor
        for name, tensor in instructions.tensors.items()
        if name.startswith(RATIO)
    }
    shapes = {n: w.shape for n, w in model.named_parameters() if w.is_floating_point()}
    if {name: tensor.shape for name, tensor in found.items()} != shapes:
        raise MethodError(
            "These instructions are about weights that the model does not have. It was left as it "
            "was. Run the probe again."
        )
    return found


def _sentence(look: Look, share: float, alpha: float, highest: float, reasons: list[str]) -> str:
    found = "Forgotten" if look.recognised == 0 else f"Not forgotten: {look.recognised:.1%} remain"
    text = f"{found}; {share:.2%} of the weights dampened at alpha {alpha:.3g}"
    if reasons:
        text += f", raised {len(reasons)} times by the guard: at first {reasons[0]}"
    if share == 0:
        text += f". The largest F_f / F_D is {highest:.3g}: lower `alpha`"
    return f"{text}."

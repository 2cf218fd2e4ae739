"""Settings found without retained data: a few trials, judged by forget rows and the model alone.

    found = search("pte", model, forget, context, budget=8)
    method = load_method("pte", found.options)

The first trial is always the method with its own settings, so a search gives nothing worse by its
own score (`lethe.unlearning.search_score`, with the formula); where it is not beaten, it stays.
What may be tried is declared by the method as `searches`, a class variable: a few values for each
of a few settings, the same for all data. Settings that decide how deep an edit reaches are not
among them, since the score sees the model's answers alone.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from lethe.errors import MethodError
from lethe.unlearning.method import Context, ForgetTarget, Method, check_can_forget, load_method
from lethe.unlearning.search_score import FAILED, Judge, new_judge


@dataclass(frozen=True)
class Trial:
    """One setting and what came of it.

    Attributes:
        options: the method's options of this trial, as `load_method` takes them.
        forgotten: share of the judged rows that is forgotten, 0 to 1.
        drift: in nats; infinite where the edit failed.
        score: 0 to 2, less is better.
        seconds: of wall time for both phases.
        error: what the method said where it could not edit.
    """

    options: dict[str, Any]
    forgotten: float
    drift: float
    score: float
    seconds: float = field(compare=False)
    error: str | None = None


@dataclass(frozen=True)
class Found:
    """The best options, every trial in the order in which they ran, and seconds of wall time."""

    options: dict[str, Any]
    trials: tuple[Trial, ...]
    seconds: float = field(compare=False)

    @property
    def best(self) -> int:
        """Number of the trial whose options these are, from 0; 0 if nothing was tried."""
        return _best(self.trials)


def search_space(
    name: str, base: Mapping[str, Any] | None = None
) -> dict[str, tuple[bool | int | float | str, ...]]:
    """What a search may try: the method's `searches` without what `base` names.

    Raises:
        MethodError: if there is no such method, or it does not accept the options.
    """
    declared: Mapping[str, tuple[Any, ...]] = getattr(load_method(name, base), "searches", {})
    return {key: values for key, values in declared.items() if key not in (base or {})}


def search(
    name: str,
    model: nn.Module,
    forget: ForgetTarget,
    context: Context,
    *,
    budget: int,
    base: Mapping[str, Any] | None = None,
    target: float | None = None,
) -> Found:
    """Try a method's settings and keep the best. The model is left as it is.

    Args:
        name: of an installed method.
        model: that is to forget.
        forget: what; methods that need retained rows are given those in it.
        context: device, seed, card, and who hears of the number of trials done.
        budget: most trials, the first among them. 0 tries nothing and gives `base`.
        base: options that stay as they are; nothing named here is searched.
        target: share of the judged rows from which on they count as forgotten.

    Returns:
        The same for the same seed, but for the seconds. No trials if the method has nothing to
        search, or the budget leaves nothing to compare with.

    Raises:
        MethodError: if the method does not forget this kind, its request does not fit the model,
            or every trial failed.
    """
    started = time.perf_counter()
    method, given = load_method(name, base), dict(base or {})
    check_can_forget(method, forget.kind)
    if budget < 2 or not search_space(name, base):
        return Found(given, (), time.perf_counter() - started)
    judge = new_judge(model, forget, context, target=target)
    trials: list[Trial] = []
    for options in draw(name, budget=budget, seed=context.seed, base=base):
        trials.append(_trial(load_method(name, options), options, model, judge, context))
        context.progress(len(trials), budget)
    if all(trial.error is not None for trial in trials):
        raise MethodError(
            f"None of {len(trials)} trials of {name!r} could edit the model, which was left as it "
            f"was. With its own settings it said: {trials[0].error}"
        )
    best = trials[_best(tuple(trials))]
    return Found(best.options, tuple(trials), time.perf_counter() - started)


def draw(
    name: str, *, budget: int, seed: int, base: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Options of up to `budget` trials: `base`, then different random ones of the space.

    Raises:
        MethodError: if there is no such method, or it does not accept the options.
    """
    from sklearn.model_selection import ParameterSampler

    given, space = dict(base or {}), search_space(name, base)
    first = load_method(name, given)
    yield given
    size = math.prod(len(values) for values in space.values()) if space else 0
    # Lists alone are drawn without repetition; one of them may be what the method has anyway.
    drawn = ParameterSampler(space, min(budget, size), random_state=seed) if size else []
    left = budget - 1
    for values in drawn:
        options = given | dict(values)
        if left and load_method(name, options) != first:
            left -= 1
            yield options


def _trial(
    method: Method, options: dict[str, Any], model: nn.Module, judge: Judge, context: Context
) -> Trial:
    started = time.perf_counter()
    quiet = replace(context, progress=_silent)
    try:
        instructions = method.probe(model, judge.edited, quiet)
        edit = method.edit(model, judge.edited, instructions, quiet)
    except MethodError as error:
        spent = time.perf_counter() - started
        return Trial(options, 0.0, math.inf, FAILED, spent, error=str(error))
    spent = time.perf_counter() - started
    scored = judge.score(edit.model)
    return Trial(options, scored.forgotten, scored.drift, scored.score, spent)


def _best(trials: tuple[Trial, ...]) -> int:
    """The least score, then the least drift, then the first."""
    if not trials:
        return 0
    return min(range(len(trials)), key=lambda at: (trials[at].score, trials[at].drift, at))


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""

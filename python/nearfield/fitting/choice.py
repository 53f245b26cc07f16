"""Choosing among learning rates, epochs and the identity on the selection part, and reporting."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..progress import Progress, bar
from .negatives import Negatives
from .recipe import Recipe
from .report import FitReport, Trial, compare
from .task import Task
from .training import Best, Model, deterministic, train

__all__ = ["run_fit"]

#: Standard errors of the selection gain from which the identity gives way: about what the best of a
#: few candidates that gain nothing is ahead by luck.
_AHEAD = 0.5


class Measurable(Model, Protocol):
    """A model that can be measured on any part of the queries."""

    def measures(
        self, parameters: dict[str, NDArray[np.float32]], part: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return every measure of each query row of `part`."""


class Choice(NamedTuple):
    """The parameters to hand out: those of the identity where `learning_rate` is None."""

    learning_rate: float | None
    epoch: int
    parameters: dict[str, NDArray[np.float32]]
    trials: list[Trial]


def run_fit(
    torch: Any,
    model: Measurable,
    task: Task,
    recipe: Recipe,
    rates: list[float],
    words: dict[str, str],
    progress: Progress,
    begin: float,
) -> tuple[dict[str, NDArray[np.float32]], FitReport]:
    """Return the parameters that were chosen, and what they are worth.

    `words` are the report's form and side; `begin` is when the fit began.
    """
    choice = _choose_best(torch, model, task, recipe, rates, progress)
    return choice.parameters, _report(model, task, choice, recipe, words, begin)


def _choose_best(
    torch: Any, model: Model, task: Task, recipe: Recipe, rates: list[float], progress: Progress
) -> Choice:
    """Train with every rate; the best epoch of all must be ahead of the identity."""
    queries = task.split.train
    negatives = Negatives(
        task.judgements, task.groups, queries, recipe.negatives, recipe.per_query, recipe.pool
    )
    runs: list[Best] = []
    identity = model.start()
    base = model.selection(identity)
    label = "Fitting" if len(rates) == 1 else f"Fitting, {len(rates)} learning rates"
    with (
        bar(len(rates) * recipe.epochs, label, "epoch", progress) as advance,
        deterministic(torch, task.threads),
    ):
        for rate in rates:
            run = train(torch, model, negatives, queries.size, recipe, rate, advance)
            runs.append(run)
    trials = [
        Trial(rate, run.epoch, float(run.values.mean()), run.curve)
        for rate, run in zip(rates, runs, strict=True)
    ]
    at = max(range(len(runs)), key=lambda number: trials[number].selection)
    gain = runs[at].values - base
    error = float(gain.std(ddof=1)) / np.sqrt(gain.size)
    if gain.mean() > _AHEAD * error:
        return Choice(rates[at], runs[at].epoch, runs[at].parameters, trials)
    return Choice(None, 0, identity, trials)


def _report(
    model: Measurable,
    task: Task,
    choice: Choice,
    recipe: Recipe,
    words: dict[str, str],
    begin: float,
) -> FitReport:
    """Measure the choice beside the identity on the selection and the test part."""
    identity = model.start()
    parts = {"selection": task.split.selection, "test": task.split.test}
    base = {name: model.measures(identity, part) for name, part in parts.items()}
    adapted = base
    if choice.learning_rate is not None:
        adapted = {name: model.measures(choice.parameters, part) for name, part in parts.items()}
    measure, seed = recipe.measure, recipe.seed
    deltas = adapted["test"][measure] - base["test"][measure]
    sizes = {
        "train": int(task.split.train.size),
        **{name: int(part.size) for name, part in parts.items()},
        "rows": len(task.corpus),
        "dim": task.corpus.shape[1],
        "numbers": sum(part.size for part in choice.parameters.values()),
    }
    return FitReport(
        **words,
        loss=recipe.loss,
        negatives=recipe.negatives,
        measure=measure,
        chosen="identity" if choice.learning_rate is None else "adapted",
        learning_rate=choice.learning_rate,
        epoch=choice.epoch,
        trials=choice.trials,
        selection=compare(base["selection"], adapted["selection"], seed),
        test=compare(base["test"], adapted["test"], seed),
        deltas={
            task.names[row]: float(delta)
            for row, delta in zip(task.split.test.tolist(), deltas.tolist(), strict=True)
        },
        sizes=sizes,
        seconds=time.perf_counter() - begin,
        seed=seed,
    )

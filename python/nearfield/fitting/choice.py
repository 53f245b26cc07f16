"""Choosing among learning rates, epochs and the identity on the selection part, and reporting."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..arguments import as_margin, as_positive, as_real, choose
from ..progress import Progress, bar
from .losses import LOSSES
from .negatives import Negatives
from .report import FitReport, Trial, compare
from .task import Task
from .training import Best, Model, Recipe, deterministic, train

__all__ = ["Choice", "choose_best", "learning_rates", "make_recipe", "make_report"]

_FACTORS = (1.0, 0.3, 3.0)  # learning rates tried, as multiples of the form's own
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


def make_recipe(
    loss: str,
    temperature: float | None,
    gamma: float | None,
    *,
    epochs: int,
    batch_size: int,
    weight_decay: float,
    refresh: int,
    patience: int,
    recovery: float,
    seed: int,
) -> Recipe:
    """Check the settings of the training."""
    _, tempering, default = LOSSES[choose(loss, tuple(LOSSES), name="loss")]
    given = {"temperature": temperature, "gamma": gamma}
    for name, value in given.items():
        if name != tempering and value is not None:
            raise ValueError(f"{name}: got {value} with loss={loss!r}, expected {tempering}")
    value = given[tempering]
    tempered_by = default if value is None else as_real(value, name=tempering)
    if tempered_by <= 0:
        raise ValueError(f"{tempering}: got {tempered_by}, expected a number above 0")
    return Recipe(
        loss=loss,
        tempered_by=tempered_by,
        epochs=as_positive(epochs, name="epochs"),
        batch_size=as_positive(batch_size, name="batch_size"),
        weight_decay=as_margin(weight_decay, name="weight_decay"),
        refresh=as_positive(refresh, name="refresh"),
        patience=as_positive(patience, name="patience"),
        recovery=as_margin(recovery, name="recovery"),
        seed=seed,
    )


def learning_rates(lr: float | None, usual: float) -> list[float]:
    """Return the learning rates to try."""
    if lr is None:
        return [usual * factor for factor in _FACTORS]
    rate = as_real(lr, name="lr")
    if rate <= 0:
        raise ValueError(f"lr: got {rate}, expected a number above 0")
    return [rate]


def choose_best(
    torch: Any,
    model: Model,
    negatives: Negatives,
    task: Task,
    recipe: Recipe,
    rates: list[float],
    progress: Progress,
) -> Choice:
    """Train with every rate; the best epoch of all must be ahead of the identity."""
    runs: list[Best] = []
    identity = model.start()
    base = model.selection(identity)
    label = "Fitting" if len(rates) == 1 else f"Fitting, {len(rates)} learning rates"
    with (
        bar(len(rates) * recipe.epochs, label, "epoch", progress) as advance,
        deterministic(torch, task.threads),
    ):
        for rate in rates:
            run = train(torch, model, negatives, task.split.train.size, recipe, rate, advance)
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


def make_report(
    model: Measurable,
    task: Task,
    choice: Choice,
    words: dict[str, str],
    seed: int,
    begin: float,
) -> FitReport:
    """Measure the choice beside the identity on the selection and the test part."""
    identity = model.start()
    parts = {"selection": task.split.selection, "test": task.split.test}
    base = {name: model.measures(identity, part) for name, part in parts.items()}
    adapted = base
    if choice.learning_rate is not None:
        adapted = {name: model.measures(choice.parameters, part) for name, part in parts.items()}
    measure = words["measure"]
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

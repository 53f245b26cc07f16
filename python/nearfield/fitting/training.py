"""One run of gradient descent, judged after every epoch on queries that it does not see.

Deterministic for a seed: starts, batches and negatives come from NumPy's generator, and torch runs
with deterministic algorithms on a fixed number of threads; both settings are put back afterwards.
"""

from __future__ import annotations

import contextlib
import importlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .losses import LOSSES
from .negatives import Negatives
from .recipe import Recipe

__all__ = ["Best", "Epoch", "Model", "deterministic", "import_torch", "train"]

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int64]
_Parameters = dict[str, _Floats]
_SMOOTHED = 3  # epochs whose selection measures are averaged, the identity being epoch 0


class Epoch(NamedTuple):
    """A point of the learning curve.

    Attributes
    ----------
    epoch : int
    loss : float
    selection : float
        The measure on the selection part.
    smoothed : float
        Its mean over this epoch and the two before, which is what chooses: one epoch alone is
        ahead by luck too often.
    """

    epoch: int
    loss: float
    selection: float
    smoothed: float


class Best(NamedTuple):
    """The parameters with the best selection measure of a run, and the run's curve.

    `values` holds the smoothed measure of every query of the selection part.
    """

    parameters: _Parameters
    values: NDArray[np.float64]
    epoch: int
    curve: list[Epoch]


class Model(Protocol):
    """What is trained: parameters, the two sides of a batch, and how to measure the result."""

    decayed: frozenset[str]

    def start(self) -> _Parameters:
        """Return the parameters of the identity."""

    def queries(self, parameters: dict[str, Any], batch: _Ints) -> tuple[Any, Any]:
        """Return the inputs and outputs of a batch of training queries, as tensors."""

    def candidates(self, parameters: dict[str, Any], rows: _Ints) -> tuple[Any, Any]:
        """Return the inputs and outputs of corpus rows, as tensors."""

    def unit(self, outputs: Any) -> Any:
        """Return the vectors whose inner products are the scores."""

    def neighbours(self, parameters: _Parameters, k: int) -> _Ints:
        """Return the `k` nearest corpus rows of every training query."""

    def selection(self, parameters: _Parameters) -> NDArray[np.float64]:
        """Return the measure of every query of the selection part."""


def import_torch(who: str) -> Any:
    """Return torch, or raise an ImportError with the pip line."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise ImportError(
            f'{who} needs torch ({error}); install it with: pip install "nearfield[train]"'
        ) from error


@contextlib.contextmanager
def deterministic(torch: Any, threads: int) -> Iterator[None]:
    """Make torch repeat itself, and put its settings back whatever happens."""
    before = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        with torch.enable_grad():
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warn)
        torch.set_num_threads(before)


def train(
    torch: Any,
    model: Model,
    negatives: Negatives,
    n_train: int,
    recipe: Recipe,
    learning_rate: float,
    advance: Callable[[int], None],
) -> Best:
    """Train one model with one learning rate.

    Cost: per step 6 * batch * candidates * dim multiply-adds, and per `refresh` epochs an exact
    search of all training queries.
    """
    rng = np.random.default_rng(recipe.seed)
    leaves = {name: torch.from_numpy(part.copy()) for name, part in model.start().items()}
    for leaf in leaves.values():
        leaf.requires_grad_()
    steps = -(-n_train // recipe.batch_size)
    optimizer, schedule = _optimizer(torch, model, leaves, recipe, learning_rate, steps)
    best = Best(_arrays(leaves), model.selection(_arrays(leaves)), 0, [])
    recent = deque([best.values], maxlen=_SMOOTHED)
    for epoch in range(recipe.epochs):
        if negatives.are_mined and epoch % recipe.refresh == 0:
            parameters = _arrays(leaves)
            negatives.mine(lambda k, now=parameters: model.neighbours(now, k))  # type: ignore[misc]
        losses = []
        for batch in np.array_split(rng.permutation(n_train), steps):
            loss = _loss(torch, model, leaves, negatives, batch, recipe, rng)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        parameters = _arrays(leaves)
        diverged = not all(np.isfinite(one).all() for one in parameters.values())
        if not diverged:
            recent.append(model.selection(parameters))
            values = np.mean(recent, axis=0)
            means = float(recent[-1].mean()), float(values.mean())
            best.curve.append(Epoch(epoch + 1, float(np.mean(losses)), *means))
            if values.mean() > best.values.mean():
                best = best._replace(parameters=parameters, values=values, epoch=epoch + 1)
        advance(1)
        if diverged or epoch + 1 - best.epoch >= recipe.patience:
            advance(recipe.epochs - epoch - 1)
            break
    return best


def _loss(
    torch: Any,
    model: Model,
    leaves: dict[str, Any],
    negatives: Negatives,
    batch: _Ints,
    recipe: Recipe,
    rng: np.random.Generator,
) -> Any:
    drawn = negatives.draw(batch, rng)
    asked, queries = model.queries(leaves, batch)
    stored, rows = model.candidates(leaves, drawn.rows)
    scores = model.unit(queries) @ model.unit(rows).T
    function, _, _ = LOSSES[recipe.loss]
    positive, spared = torch.from_numpy(drawn.positive), torch.from_numpy(drawn.spared)
    loss = function(scores, positive, spared, recipe.tempered_by)
    if recipe.recovery > 0:
        moved = (queries - asked).abs().sum(1).mean() + (rows - stored).abs().sum(1).mean()
        loss = loss + recipe.recovery * moved
    return loss


def _optimizer(
    torch: Any, model: Model, leaves: dict[str, Any], recipe: Recipe, rate: float, steps: int
) -> tuple[Any, Any]:
    """AdamW; decay pulls towards the identity; the rate falls along half a cosine."""
    groups = [
        {
            "params": [leaf for name, leaf in leaves.items() if (name in model.decayed) == decays],
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for decays in (True, False)
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=rate)
    total = max(1, recipe.epochs * steps)
    falling = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + np.cos(np.pi * min(step, total) / total))
    )
    return optimizer, falling


def _arrays(leaves: dict[str, Any]) -> _Parameters:
    return {name: leaf.detach().numpy().copy() for name, leaf in leaves.items()}

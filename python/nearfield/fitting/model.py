"""An adapter while it is trained: the parameters of the query side, and of the corpus side if any.

Mining and selection run through the transform that will be handed out, not through torch, so what
is chosen is what is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .forms import Form
from .task import Task

if TYPE_CHECKING:
    from ..transforms import Transform

__all__ = ["AdapterModel", "unit_rows"]

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int64]
_Parameters = dict[str, _Floats]


class AdapterModel:
    """See :class:`nearfield.fitting.training.Model`; one form on one side or on both."""

    def __init__(
        self, torch: Any, task: Task, form: Form, rank: int, both: bool, measure: str, seed: int
    ) -> None:
        self._torch, self._task, self._form, self._measure = torch, task, form, measure
        self._rank, self._seed = rank, seed
        inputs = {"query": task.queries[task.split.train]}
        if both:
            inputs["corpus"] = task.corpus
        self._scale = {side: _typical_length(x) for side, x in inputs.items()}
        self._inputs = {side: x / np.float32(self._scale[side]) for side, x in inputs.items()}
        self._rows = torch.from_numpy(self._inputs["corpus"] if both else task.corpus)
        self._asked = torch.from_numpy(self._inputs["query"])
        self.decayed = frozenset(f"{side}.{name}" for side in inputs for name in form.decayed)

    def start(self) -> _Parameters:
        """Return the parameters of the identity."""
        parameters = {}
        for number, (side, x) in enumerate(self._inputs.items()):
            rng = np.random.default_rng([self._seed, number])
            for name, value in self._form.start(x, self._rank, rng).items():
                if side == "query" or name not in self._form.query_only:
                    parameters[f"{side}.{name}"] = value
        return parameters

    def queries(self, parameters: dict[str, Any], batch: _Ints) -> tuple[Any, Any]:
        """Return the inputs and outputs of a batch of training queries."""
        x = self._asked[self._torch.from_numpy(batch)]
        return x, self._form.forward(_side(parameters, "query"), x)

    def candidates(self, parameters: dict[str, Any], rows: _Ints) -> tuple[Any, Any]:
        """Return the inputs and outputs of corpus rows; the same where the corpus stays."""
        x = self._rows[self._torch.from_numpy(rows)]
        own = _side(parameters, "corpus")
        return x, self._form.forward(own, x) if own else x

    def unit(self, outputs: Any) -> Any:
        """Return the vectors whose inner products are the scores."""
        return unit_rows(self._torch, outputs) if self._task.metric == "cosine" else outputs

    def transforms(self, parameters: _Parameters) -> tuple[Transform, Transform | None]:
        """Return the transforms of the query side and of the corpus side."""
        made = [
            self._form.transform(_side(parameters, side), scale)
            for side, scale in self._scale.items()
        ]
        return made[0], made[1] if len(made) > 1 else None

    def neighbours(self, parameters: _Parameters, k: int) -> _Ints:
        """Return the `k` nearest corpus rows of every training query."""
        asked, stored = self._mapped(parameters, self._task.split.train)
        return self._task.nearest(asked, k, stored)

    def measures(self, parameters: _Parameters, part: _Ints) -> dict[str, NDArray[np.float64]]:
        """Return every measure of each query row of `part`."""
        return self._task.measures(part, *self._mapped(parameters, part))

    def selection(self, parameters: _Parameters) -> NDArray[np.float64]:
        """Return the measure of every query of the selection part."""
        return self.measures(parameters, self._task.split.selection)[self._measure]

    def _mapped(self, parameters: _Parameters, part: _Ints) -> tuple[_Floats, _Floats | None]:
        ask, store = self.transforms(parameters)
        threads = self._task.threads
        asked = ask(self._task.queries[part], threads=threads)
        return asked, None if store is None else store(self._task.corpus, threads=threads)


def unit_rows(torch: Any, vectors: Any) -> Any:
    """Return the rows divided by their lengths; a zero row stays."""
    return torch.nn.functional.normalize(vectors, dim=1, eps=1e-12)


def _side(parameters: dict[str, Any], side: str) -> dict[str, Any]:
    start = side + "."
    return {
        name.removeprefix(start): value
        for name, value in parameters.items()
        if name.startswith(start)
    }


def _typical_length(x: _Floats) -> float:
    """Return the root mean square length of the rows, 1 where all are zero."""
    squares = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return float(np.sqrt(squares.mean())) or 1.0

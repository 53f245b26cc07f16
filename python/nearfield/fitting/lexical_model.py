"""Lexical modulation while it is trained: the projection of a vocabulary, and LLR's token scorer.

Only tokens of the training queries get a row; all others keep the weight 0, which changes nothing.
Everything starts at zero, the scorer at "every token weighs 1": the identity exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .judgements import expand
from .model import unit_rows
from .task import Task

if TYPE_CHECKING:
    from ..transforms import LexicalModulation, Tokens

__all__ = ["LexicalModel", "modulate"]

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int64]
_Parameters = dict[str, _Floats]


def modulate(weight: Any, bias: Any, token_weights: Any, x: Any) -> Any:
    """Return ``softmax(W^T w + b) * x`` for dense token weights of shape (n, vocab), as tensors."""
    return (token_weights @ weight + bias).softmax(-1) * x


class LexicalModel:
    """See :class:`nearfield.fitting.training.Model`.

    Parameters
    ----------
    torch : module
    task : Task
    tokens : Tokens
        Of every query.
    hidden : ndarray of float32, shape (len(tokens.ids), hidden), or None
        Hidden state of every token: trains a scorer (mode "llr").
    special_ids : list of int
    measure : str
    """

    decayed = frozenset({"weight", "bias"})

    def __init__(
        self,
        torch: Any,
        task: Task,
        tokens: Tokens,
        hidden: _Floats | None,
        special_ids: list[int],
        measure: str,
    ) -> None:
        self._torch, self._task, self._measure = torch, task, measure
        self._special_ids = special_ids
        train = task.split.train
        _, used = expand(tokens.offsets[train], tokens.offsets[train + 1], tokens.ids)
        self._used = np.setdiff1d(used, special_ids)
        known = np.isin(tokens.ids, self._used)
        if not self._used.size:
            self._used = np.zeros(1, np.int64)  # a row that no query reads
        place = np.minimum(np.searchsorted(self._used, tokens.ids), self._used.size - 1)
        self._ids = place[known]
        self._offsets = np.concatenate([[0], np.cumsum(known)])[tokens.offsets]
        self._hidden = None if hidden is None else hidden[known]
        self._asked = torch.from_numpy(task.queries[train])
        self._rows = torch.from_numpy(task.corpus)

    def start(self) -> _Parameters:
        """Return the parameters of the identity."""
        dim = self._task.queries.shape[1]
        parameters = {
            "weight": np.zeros((self._used.size, dim), np.float32),
            "bias": np.zeros(dim, np.float32),
        }
        if self._hidden is not None:
            parameters["scorer"] = np.zeros(self._hidden.shape[1], np.float32)
            parameters["scorer_bias"] = np.ones(1, np.float32)
        return parameters

    def queries(self, parameters: dict[str, Any], batch: _Ints) -> tuple[Any, Any]:
        """Return the inputs and outputs of a batch of training queries."""
        x = self._asked[self._torch.from_numpy(batch)]
        weights = self._token_weights(parameters, self._task.split.train[batch])
        return x, modulate(parameters["weight"], parameters["bias"], weights, x)

    def candidates(self, parameters: dict[str, Any], rows: _Ints) -> tuple[Any, Any]:
        """Return corpus rows, which stay as they are."""
        x = self._rows[self._torch.from_numpy(rows)]
        return x, x

    def unit(self, outputs: Any) -> Any:
        """Return unit vectors: modulated queries are normalised, so corpus rows are as well."""
        return unit_rows(self._torch, outputs)

    def _token_weights(self, parameters: dict[str, Any], queries: _Ints) -> Any:
        """Return the weight of every used token for every query, dense."""
        torch, width = self._torch, self._used.size
        first, last = self._offsets[queries], self._offsets[queries + 1]
        owner, at = expand(first, last, np.arange(self._ids.size))
        cell = torch.from_numpy(owner * width + self._ids[at])
        if self._hidden is None:
            given = torch.ones(len(at))
        else:
            states = torch.from_numpy(self._hidden[at])
            given = (states @ parameters["scorer"] + parameters["scorer_bias"]).clip(min=0)
        flat = torch.zeros(len(queries) * width).scatter_reduce(0, cell, given, "amax")
        return flat.reshape(len(queries), width)

    def neighbours(self, parameters: _Parameters, k: int) -> _Ints:
        """Return the `k` nearest corpus rows of every training query."""
        train = self._task.split.train
        return self._task.nearest(self._modulated(parameters, train), k)

    def measures(self, parameters: _Parameters, part: _Ints) -> dict[str, NDArray[np.float64]]:
        """Return every measure of each query row of `part`."""
        return self._task.measures(part, self._modulated(parameters, part))

    def selection(self, parameters: _Parameters) -> NDArray[np.float64]:
        """Return the measure of every query of the selection part."""
        return self.measures(parameters, self._task.split.selection)[self._measure]

    def transform(self, parameters: _Parameters, vocab: int) -> LexicalModulation:
        """Return the modulation over the whole vocabulary."""
        weight = np.zeros((vocab, parameters["weight"].shape[1]), np.float32)
        weight[self._used] = parameters["weight"]
        return self._made({**parameters, "weight": weight}, self._special_ids)

    def _made(self, parameters: _Parameters, special_ids: list[int]) -> LexicalModulation:
        from ..transforms import LexicalModulation

        return LexicalModulation(
            parameters["weight"],
            parameters["bias"],
            mode="llr" if "scorer" in parameters else "slr",
            scorer=parameters.get("scorer"),
            scorer_bias=parameters.get("scorer_bias"),
            special_ids=special_ids,
        )

    def _modulated(self, parameters: _Parameters, part: _Ints) -> _Floats:
        """Apply the modulation that will be handed out, cut to the used tokens."""
        from ..transforms import Tokens

        made = self._made(parameters, [])
        _, at = expand(self._offsets[part], self._offsets[part + 1], np.arange(self._ids.size))
        lengths = self._offsets[part + 1] - self._offsets[part]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        weights = None if self._hidden is None else made.token_weights(self._hidden[at])
        tokens = Tokens(self._ids[at], offsets, weights)
        return made(self._task.queries[part], tokens, threads=self._task.threads)

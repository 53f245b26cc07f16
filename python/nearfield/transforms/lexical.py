"""Queries weighed by their tokens, as LexSemBridge does: :class:`LexicalModulation`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..arguments import as_flag, as_real, choose
from ..arrays import as_floats, as_labels, as_queries, as_rows
from .base import Transform, as_bias
from .linear import Affine
from .tokens import Tokens

__all__ = ["LexicalModulation", "as_special_ids"]


class LexicalModulation(Transform):
    """``exp(z - max z) * x`` with ``z = W^T w + b``, w being a weight for every token of the query.

    Parameters
    ----------
    weight : array_like, shape (vocab, dim)
        W: one row per token id.
    bias : array_like, shape (dim,), optional
        b, what `z` is without any token.
    mode : {"slr", "llr", "clr"}, default "slr"
        Where w comes from: statistical, learned or contextual.
    form : {"code", "paper"}, default "code"
        Of the published code or of the paper, see Notes.
    scale : float, default 1.0
        Weight of a token that occurs, for "slr" in the code's form.
    scorer : array_like, shape (hidden,) or (hidden, vocab), optional
        For "llr": what :meth:`token_weights` multiplies hidden states by; a vector in the code's
        form, a matrix in the paper's.
    scorer_bias : float or array_like, shape (vocab,), optional
        What it adds.
    special_ids : sequence of int, default ()
        Token ids whose weight is dropped, such as those of [CLS], [SEP], [PAD] and [UNK].
    normalize : bool, default True
        Whether results have unit length.

    Raises
    ------
    TypeError, ValueError
        Wrong shapes, NaN or infinity, an unknown mode or form, special ids outside the vocabulary,
        `scale` or `scorer` where the mode has none.

    Notes
    -----
    What w_t is of a token t of the query, 0 for all others:

    ====== ====================================== =====================================
    mode   form="code"                            form="paper"
    ====== ====================================== =====================================
    slr    `scale`                                ln 2
    llr    max over positions of relu(weight)     log(1 + relu(logit))
    clr    log(1 + relu(logit))                   log(1 + relu(logit))
    ====== ====================================== =====================================

    Weights and logits are ``tokens.weights``; logits may also be given densely, as an array of
    shape (n, vocab) in place of tokens. An id that occurs repeatedly counts once, with its largest
    weight. A query without tokens has ``z = b``.

    The factors are those of the softmax of `z` but for a positive number that all of a query
    share. With kappa the ratio of the largest to the smallest factor, the cosine between `x` and
    the result is at least ``2 sqrt(kappa) / (1 + kappa)`` (Kantorovich). Unlike other transforms
    this one normalises by default, as the published code does.

    The released code's `vocabulary_filter`, which changes the first row of a batch only, has no
    counterpart: each row depends on its own tokens alone.

    References
    ----------
    LexSemBridge and its public repository (Jasaxion/LexSemBridge).

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> m = nf.transforms.LexicalModulation([[0, 0], [2, 0], [0, 2]])
    >>> m([[0.6, 0.8], [0.6, 0.8]], nf.Tokens([1, 1, 2], offsets=[0, 2, 3])).round(2)
    array([[0.98, 0.18],
           [0.1 , 0.99]], dtype=float32)
    """

    kind = "lexical"
    _arrays = ("weight", "bias", "scorer", "scorer_bias")
    _settings = ("mode", "form", "scale", "special_ids", "normalize")
    in_dim: int
    out_dim: int

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        mode: str = "slr",
        *,
        form: str = "code",
        scale: float = 1.0,
        scorer: ArrayLike | None = None,
        scorer_bias: ArrayLike | float | None = None,
        special_ids: Sequence[int] = (),
        normalize: bool = True,
    ) -> None:
        self.weight = as_floats(weight, name="weight", ndim=2)
        self.vocab, dim = self.weight.shape
        self.in_dim = self.out_dim = dim
        self.bias = as_bias(bias, name="bias", size=dim)
        self.mode = choose(mode, ("slr", "llr", "clr"), name="mode")
        self.form = choose(form, ("code", "paper"), name="form")
        self.scale = as_real(scale, name="scale")
        if self.scale != 1.0 and (self.mode, self.form) != ("slr", "code"):
            raise ValueError(
                f"scale: got {self.scale} for mode {self.mode!r} in the form {self.form!r}; only "
                "'slr' in the form 'code' has one"
            )
        self.special_ids = as_special_ids(special_ids, self.vocab)
        self.normalize = as_flag(normalize, name="normalize")
        self._set_scorer(scorer, scorer_bias)
        self._bind()

    def _set_scorer(self, scorer: ArrayLike | None, bias: ArrayLike | float | None) -> None:
        self.scorer: NDArray[np.float32] | None = None
        self.scorer_bias: NDArray[np.float32] | None = None
        if scorer is None:
            if bias is not None:
                raise ValueError("scorer_bias: given without a scorer")
            return
        if self.mode != "llr":
            raise ValueError(f"scorer: got one for mode {self.mode!r}, only 'llr' has one")
        outputs = 1 if self.form == "code" else self.vocab
        self.scorer = as_floats(scorer, name="scorer", ndim=1 if self.form == "code" else 2)
        if self.form == "paper" and self.scorer.shape[1] != outputs:
            raise ValueError(
                f"scorer: got shape {self.scorer.shape}, expected (hidden, {outputs}), one column "
                "per row of weight"
            )
        if bias is not None and np.ndim(cast(Any, bias)) == 0:
            bias = np.atleast_1d(np.asarray(bias))
        self.scorer_bias = as_bias(bias, name="scorer_bias", size=outputs)

    def token_weights(
        self, hidden_states: ArrayLike, threads: int | None = None
    ) -> NDArray[np.float32]:
        """Return what the scorer of mode "llr" makes of hidden states.

        Parameters
        ----------
        hidden_states : array_like, shape (n, hidden)
            In the code's form one row per token id, in the order of ``tokens.ids``; in the paper's
            form one per query, that of its [CLS] position.
        threads : int, optional
            Threads for this call.

        Returns
        -------
        ndarray of float32
            ``relu(h u + c)`` of shape (n,): the weights of :class:`Tokens`. In the paper's form the
            logits ``h U + b`` of shape (n, vocab), which take the place of tokens.

        Raises
        ------
        TypeError, ValueError
            There is no scorer; hidden states of another width, or with NaN or infinity.

        Examples
        --------
        >>> import numpy as np, nearfield as nf
        >>> m = nf.transforms.LexicalModulation(np.zeros((3, 2)), mode="llr", scorer=[1, -1])
        >>> m.token_weights([[3, 1], [1, 3]])
        array([2., 0.], dtype=float32)
        """
        if self.scorer is None:
            raise ValueError("token_weights: there is no scorer; pass scorer= with mode 'llr'")
        by_token = self.form == "code"
        layer = Affine(self.scorer[np.newaxis] if by_token else self.scorer.T, self.scorer_bias)
        rows, _ = as_rows(hidden_states, name="hidden_states", dim=layer.in_dim, storage="float32")
        scores = layer._apply(rows, None, threads, name="hidden_states")
        return np.maximum(scores[:, 0], np.float32(0)) if by_token else scores

    def __call__(  # type: ignore[override]
        self, x: ArrayLike, tokens: Tokens | ArrayLike, threads: int | None = None
    ) -> NDArray[np.float32]:
        """Weigh vectors by their tokens.

        Parameters
        ----------
        x : array_like, shape (n, dim) or (dim,)
            Vectors, taken as float32.
        tokens : Tokens, or array_like of shape (n, vocab)
            One row of token ids per vector; or logits for every token of the vocabulary, for "clr"
            and for "llr" in the paper's form.
        threads : int, optional
            Threads for this call. Never changes the result.

        Returns
        -------
        ndarray of float32, shape (n, dim) or (dim,)

        Raises
        ------
        TypeError, ValueError
            Vectors of another width, with NaN or infinity; another number of rows of tokens; a
            token id outside the vocabulary; weights where the mode has none, or none where it
            needs them.
        """
        return self._apply(x, tokens, threads)

    def _bind(self) -> None:
        weigh, constant = "constant", self.scale if self.form == "code" else math.log(2)
        if self.mode != "slr":
            weigh = "log_relu" if self._takes_logits else "relu"
        special = np.asarray(self.special_ids, dtype=np.int64)
        self._modulation = _core.Modulation(
            self.weight, self.bias, special, weigh, constant, self.normalize
        )

    @property
    def _takes_logits(self) -> bool:
        return self.mode == "clr" or (self.mode, self.form) == ("llr", "paper")

    def _map(self, rows: NDArray[np.float32], tokens: Any) -> _core.QueryMap:
        checked = self._as_tokens(tokens, rows.shape[0])
        if not isinstance(checked, Tokens):
            return _core.QueryMap.modulated_densely(self._modulation, checked)
        return _core.QueryMap.modulated(
            self._modulation, checked.ids, checked.offsets, checked.weights
        )

    def _as_tokens(self, tokens: Any, count: int) -> Tokens | NDArray[np.float32]:
        """Return the tokens of so many vectors, or logits for all of the vocabulary."""
        if not isinstance(tokens, Tokens):
            return self._as_logits(tokens, count)
        if len(tokens) != count:
            raise ValueError(f"tokens: got {len(tokens)} rows for {count} vectors")
        if self.mode == "slr" and tokens.weights is not None:
            raise ValueError("tokens: got weights, but mode 'slr' has none")
        if self.mode != "slr" and tokens.weights is None:
            what = "logits" if self._takes_logits else "weights, see token_weights()"
            raise ValueError(f"tokens: got no weights, expected {what} for mode {self.mode!r}")
        return tokens

    def _as_logits(self, logits: Any, count: int) -> NDArray[np.float32]:
        if not self._takes_logits:
            raise TypeError(
                f"tokens: got a {type(logits).__name__}, expected nf.Tokens for mode "
                f"{self.mode!r} in the form {self.form!r}"
            )
        array, _ = as_queries(logits, name="tokens", dim=self.vocab)
        if array.shape[0] != count:
            raise ValueError(f"tokens: got {array.shape[0]} rows of logits for {count} vectors")
        if not np.isfinite(array).all():
            raise ValueError("tokens: got logits with NaN or infinity, expected finite numbers")
        return array


def as_special_ids(ids: Sequence[int], vocab: int) -> list[int]:
    """Return distinct token ids of a vocabulary, ascending."""
    labels = as_labels(ids, name="special_ids")
    wrong = labels[(labels < 0) | (labels >= vocab)]
    if wrong.size:
        raise ValueError(
            f"special_ids: got {int(wrong[0])}, expected ids from 0 to {vocab - 1}, rows of weight"
        )
    return sorted({int(i) for i in labels})

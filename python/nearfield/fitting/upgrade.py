"""`fit_upgrade`: a new model's queries into the index of the old one, in closed form.

Cost: one pass of ``n * d_new * (d_new + d_old)`` multiply-adds in float64, and a decomposition.
Source: Drift-Adapter (orthogonal Procrustes and low-rank affine maps); ridge and reduced-rank
regression are textbook (Hastie et al., The Elements of Statistical Learning, 3.4 and 3.7).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import as_margin, as_positive, as_real, as_seed, as_threads, choose
from ..arrays import finite_rows
from ..exact import topk

if TYPE_CHECKING:
    from ..transforms import Transform

__all__ = ["UpgradeFit", "UpgradeReport", "fit_upgrade"]

_Floats = NDArray[np.float32]
_Doubles = NDArray[np.float64]
_FEWEST = 32
_MOST_HELD_OUT = 2_000
_BLOCK = 8_192
_PENALTIES = tuple(10.0**power for power in range(-5, 2))  # in mean squared lengths per dimension
_NEIGHBOURS = 10


@dataclass(frozen=True)
class UpgradeReport:
    """What an upgrade does to texts it was not fitted on.

    Attributes
    ----------
    form : str
    ridge : float or None
        Penalty, as a multiple of the new vectors' mean variance; None where there is none.
    cosine : float
        Mean cosine similarity of mapped new vectors and old ones, over the test pairs.
    recall : float
        Share of an old query's 10 nearest among the fitted pairs' old vectors that its mapped new
        query finds, over the test pairs: 1 means that nobody notices the new model.
    sizes : dict of str to int
    seconds : float
    seed : int
    """

    form: str
    ridge: float | None
    cosine: float
    recall: float
    sizes: dict[str, int]
    seconds: float
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON holds."""
        return asdict(self)

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    def __str__(self) -> str:
        """Return the report as three lines."""
        sizes = self.sizes
        penalty = "" if self.ridge is None else f", ridge {self.ridge:g}"
        return (
            f"{self.form}{penalty}: {sizes['new_dim']} to {sizes['old_dim']} dimensions\n"
            f"{sizes['fit']} pairs to fit, {sizes['selection']} to choose, {sizes['test']} to "
            f"report; {self.seconds:.1f} s, seed {self.seed}\n"
            f"test: cosine {self.cosine:.4f}, recall@{_NEIGHBOURS} of the old model's own "
            f"neighbours {self.recall:.4f}"
        )


class UpgradeFit(NamedTuple):
    """A map from the new model's vectors to the old model's, and its report."""

    transform: Transform
    report: UpgradeReport


def fit_upgrade(
    new: ArrayLike,
    old: ArrayLike,
    *,
    form: Literal["ridge", "procrustes", "low_rank"] = "ridge",
    rank: int = 64,
    ridge: float | None = None,
    metric: Literal["cosine", "ip", "l2"] = "cosine",
    test: float = 0.1,
    seed: int = 0,
    threads: int | None = None,
) -> UpgradeFit:
    """Fit a map that takes a new model's queries into an index of the old model's vectors.

    Needs no judgements and no torch: only the same texts embedded by both models.

    Parameters
    ----------
    new, old : array_like, shapes (n, new_dim) and (n, old_dim)
        Row ``i`` of both is the same text. At least 32; some thousands are usual.
    form : {"ridge", "procrustes", "low_rank"}, default "ridge"
        Affine with a penalty on its matrix; a rotation (with reflection, and a cut or padding where
        the dimensions differ), a scale and a shift; or the best affine map of a given rank.
    rank : int, default 64
        Of "low_rank".
    ridge : float, optional
        Penalty, as a multiple of the new vectors' mean variance. By default pairs held out of the
        fit choose among 1e-5, 1e-4, ... 10. "procrustes" has none.
    metric : {"cosine", "ip", "l2"}, default "cosine"
        How the old index scores; under "cosine" the old vectors are brought to unit length first.
    test : float, default 0.1
        Share of the pairs that the report is about (at most 2,000); they are not fitted on.
    seed : int, default 0
    threads : int, optional
        Threads of the searches of the report.

    Returns
    -------
    UpgradeFit
        ``transform``, an `Affine` or a `Chain` of two, and ``report``.

    Raises
    ------
    TypeError, ValueError
        Shapes that do not fit, NaN or infinity, too few pairs, an unknown form.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> rng = np.random.default_rng(0)
    >>> old = rng.standard_normal((500, 8), dtype=np.float32)
    >>> new = old @ rng.standard_normal((8, 12), dtype=np.float32)
    >>> fit = nf.fit_upgrade(new, old)
    >>> fit.report.recall > 0.9
    True
    >>> fit.transform(new[:1]).shape
    (1, 8)
    """
    begin = time.perf_counter()
    form_name = choose(form, ("ridge", "procrustes", "low_rank"), name="form")
    rank = as_positive(rank, name="rank")
    choose(metric, ("cosine", "ip", "l2"), name="metric")
    penalty = None if ridge is None else as_margin(ridge, name="ridge")
    if penalty is not None and form_name == "procrustes":
        raise ValueError(f'ridge: got {penalty} with form="procrustes", expected None')
    x, y = _paired(new, old, metric)
    parts = _parts(len(x), test, as_seed(seed), penalty is None and form_name != "procrustes")
    as_threads(threads)
    moments = _Moments(x[parts["fit"]], y[parts["fit"]])
    if form_name == "procrustes":
        found = _procrustes(moments)
    else:
        solve = _ridge if form_name == "ridge" else lambda m, p: _low_rank(m, p, rank)
        found, penalty = _least_penalised(moments, solve, penalty, x, y, parts["selection"])
    sizes = {name: len(part) for name, part in parts.items()}
    sizes |= {"new_dim": x.shape[1], "old_dim": y.shape[1]}
    transform = found.transform()
    mapped = transform(x[parts["test"]])
    report = UpgradeReport(
        form=form_name,
        ridge=penalty,
        cosine=_mean_cosine(mapped, y[parts["test"]]),
        recall=_agreement(mapped, y[parts["test"]], y[parts["fit"]], metric, threads),
        sizes=sizes,
        seconds=time.perf_counter() - begin,
        seed=seed,
    )
    return UpgradeFit(transform, report)


class _Map(NamedTuple):
    """``right @ (left @ x) + b``; `left` is None for one full matrix."""

    right: _Doubles
    left: _Doubles | None
    b: _Doubles

    def apply(self, x: _Floats) -> _Doubles:
        inner = x if self.left is None else x @ self.left.T
        result: _Doubles = inner @ self.right.T + self.b
        return result

    def transform(self) -> Transform:
        from ..transforms import Affine, Chain

        last = Affine(self.right.astype(np.float32), self.b.astype(np.float32))
        if self.left is None:
            return last
        return Chain([Affine(self.left.astype(np.float32)), last])


class _Moments:
    """Means, covariance of the new vectors and cross-covariance with the old, in float64."""

    def __init__(self, x: _Floats, y: _Floats) -> None:
        self.n = len(x)
        self.x_mean = x.mean(axis=0, dtype=np.float64)
        self.y_mean = y.mean(axis=0, dtype=np.float64)
        self.xx = np.zeros((x.shape[1], x.shape[1]))
        self.xy = np.zeros((x.shape[1], y.shape[1]))
        for rows in _blocks(self.n):
            centred = x[rows] - self.x_mean
            self.xx += centred.T @ centred
            self.xy += centred.T @ (y[rows] - self.y_mean)

    @property
    def variance(self) -> float:
        """Sum of squares per dimension of the new vectors."""
        return float(np.trace(self.xx)) / len(self.xx) or 1.0

    def shift(self, w: _Doubles) -> _Doubles:
        """Return the b that takes mean to mean."""
        b: _Doubles = self.y_mean - w @ self.x_mean
        return b


def _ridge(moments: _Moments, penalty: float) -> _Map:
    w = _ridge_matrix(moments, penalty)
    return _Map(w, None, moments.shift(w))


def _ridge_matrix(moments: _Moments, penalty: float) -> _Doubles:
    floor = max(penalty, 1e-12) * moments.variance  # fewer pairs than dimensions leave no inverse
    w = np.linalg.solve(moments.xx + floor * np.eye(len(moments.xx)), moments.xy)
    return np.asarray(w.T, dtype=np.float64)


def _low_rank(moments: _Moments, penalty: float, rank: int) -> _Map:
    """Reduced-rank regression: the ridge map, cut to the main directions of what it predicts."""
    w = _ridge_matrix(moments, penalty)
    predicted = w @ (moments.xx + penalty * moments.variance * np.eye(len(moments.xx))) @ w.T
    _, directions = np.linalg.eigh((predicted + predicted.T) / 2)
    main = directions[:, ::-1][:, :rank]
    left = main.T @ w
    return _Map(main, left, moments.shift(main @ left))


def _procrustes(moments: _Moments) -> _Map:
    """``s R``: R with orthonormal rows or columns, from the SVD of the cross-covariance."""
    u, strength, v = np.linalg.svd(moments.xy, full_matrices=False)
    rotation = v.T @ u.T
    kept = float(np.trace(rotation @ moments.xx @ rotation.T)) or 1.0
    w: _Doubles = rotation * (float(strength.sum()) / kept)
    return _Map(w, None, moments.shift(w))


def _least_penalised(
    moments: _Moments,
    solve: Callable[[_Moments, float], _Map],
    penalty: float | None,
    x: _Floats,
    y: _Floats,
    selection: NDArray[np.int64],
) -> tuple[_Map, float]:
    """Return the map of the penalty given, or of the one that the held-out pairs like best."""
    if penalty is not None:
        return solve(moments, penalty), penalty
    tried = [(solve(moments, one), one) for one in _PENALTIES]
    return max(tried, key=lambda pair: _mean_cosine(pair[0].apply(x[selection]), y[selection]))


def _paired(new: ArrayLike, old: ArrayLike, metric: str) -> tuple[_Floats, _Floats]:
    x, y = finite_rows(new, name="new"), finite_rows(old, name="old")
    if len(x) != len(y):
        raise ValueError(f"old: got {len(y)} rows beside {len(x)} of new, expected the same texts")
    if len(x) < _FEWEST:
        raise ValueError(f"new: got {len(x)} pairs, expected at least {_FEWEST}")
    if metric == "cosine":
        y = np.divide(y, _lengths(y)[:, None], out=np.empty_like(y), casting="same_kind")
    return x, y


def _parts(n: int, test: float, seed: int, chooses: bool) -> dict[str, NDArray[np.int64]]:
    share = as_real(test, name="test")
    if not 0 < share < 1:
        raise ValueError(f"test: got {share}, expected a share between 0 and 1")
    held_out = min(max(2, round(n * share)), _MOST_HELD_OUT)
    ends = [held_out, 2 * held_out if chooses else held_out]
    if n - ends[1] < _FEWEST // 2:
        raise ValueError(
            f"test: got {share}, which leaves {n - ends[1]} of {n} pairs to fit on, expected at "
            f"least {_FEWEST // 2}"
        )
    order = np.random.default_rng(seed).permutation(n)
    found = dict(zip(("test", "selection", "fit"), np.split(order, ends), strict=True))
    return {name: np.sort(part) for name, part in found.items()}


def _mean_cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    inner = np.einsum("ij,ij->i", a, b, dtype=np.float64)
    return float((inner / (_lengths(a) * _lengths(b))).mean())


def _lengths(x: NDArray[Any]) -> _Doubles:
    """Return the length of every row, 1 of a row of zeros; squares may be beyond float32."""
    lengths = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    return np.where(lengths > 0, lengths, 1.0)


def _agreement(
    mapped: _Floats, own: _Floats, rows: _Floats, metric: Any, threads: int | None
) -> float:
    k = min(_NEIGHBOURS, len(rows))
    truth = topk(own, rows, k, metric, threads=threads).ids
    found = topk(mapped, rows, k, metric, threads=threads).ids
    return float((found[:, :, None] == truth[:, None, :]).any(axis=2).mean())


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _BLOCK):
        yield slice(start, start + _BLOCK)

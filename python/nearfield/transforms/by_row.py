"""Rows through one transform of many each: :func:`apply`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from ..arguments import as_threads, naming
from ..queries import as_mapped
from .base import Transform

if TYPE_CHECKING:
    from .tokens import Tokens

__all__ = ["apply"]


def apply(
    x: ArrayLike,
    transform: Transform | Sequence[Transform],
    *,
    transform_ids: ArrayLike | None = None,
    tokens: Tokens | ArrayLike | None = None,
    threads: int | None = None,
) -> Any:
    """Apply transforms to vectors, a different one to each where `transform_ids` says so.

    Parameters
    ----------
    x : array_like, shape (n, in_dim) or (in_dim,)
        Vectors, taken as float32; or an array on a CUDA device.
    transform : Transform or sequence of Transform
        A sequence is a bundle: every vector goes through each of its transforms.
    transform_ids : array_like of int, shape (n,) or (n, a), optional
        Which transform of the sequence each vector goes through, -1 for none; with a second axis,
        a bundle for each vector. May be on the device where `x` is.
    tokens : Tokens, or array_like of shape (n, vocab), optional
        What a :class:`LexicalModulation` takes.
    threads : int, optional
        Threads for this call, on the CPU. Never changes the result.

    Returns
    -------
    ndarray of float32, shape (n, out_dim), (n, a, out_dim) or, of one vector, without `n`
        Of an array on a CUDA device an array of its kind there, see :class:`Transform`.

    Raises
    ------
    TypeError, ValueError
        As :meth:`nearfield.Index.search`. On a device what is not finite is not found, nor are ids
        on it that are out of range: their rows are NaN.
    DeviceError
        The device, its driver or its compiler fails, or has too little memory.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> T = nf.transforms
    >>> two = [T.Diagonal([2, 1]), T.Normalize()]
    >>> T.apply(np.float32([[3, 4], [3, 4], [3, 4]]), two, transform_ids=[1, -1, 0])
    array([[0.6, 0.8],
           [3. , 4. ],
           [6. , 4. ]], dtype=float32)
    """
    if transform is None:
        raise TypeError("transform: got None, expected a transform or a list of them")
    if type(x) is not np.ndarray:
        from ..cuda.arrays import is_on_device

        if is_on_device(x):
            from ..cuda.transforms import applied

            return applied(transform, x, tokens, transform_ids)
    count, first = as_threads(threads), transform
    if isinstance(transform, (list, tuple)) and transform:
        first = transform[0]
    dim = getattr(first, "out_dim", None) or getattr(first, "in_dim", None) or _columns(x)
    q = as_mapped("x", x, dim, transform, transform_ids, tokens)
    assert q.map is not None
    try:
        rows = _core.map_queries(q.map, q.rows, count)
    except ValueError as error:
        raise naming(error, query="x", row="x") from None
    if q.bundle is not None:
        rows = rows.reshape(-1, q.bundle, rows.shape[1])
    return rows[0] if q.one_vector else rows


def _columns(x: Any) -> int:
    shape = np.shape(x)
    return int(shape[-1]) if shape else 1

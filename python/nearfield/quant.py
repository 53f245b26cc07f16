"""Quantizers: vectors as small codes, and scores of queries with codes.

``ScalarQuantizer`` divides every dimension's range into cells, ``ProductQuantizer`` replaces parts
of a vector by trained centroids, ``OPQ`` rotates vectors first so that parts carry equal shares,
``RabitQuantizer`` rotates them at random and rounds every element to a few bits.

Examples
--------
>>> import numpy as np, nearfield as nf
>>> x = np.random.default_rng(0).standard_normal((1000, 32), dtype=np.float32)
>>> pq = nf.quant.ProductQuantizer(m=8, nbits=4).train(x)
>>> pq.encode(x).shape
(1000, 4)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .arguments import LARGEST_DIM, as_positive, as_threads, choose
from .arrays import as_queries, as_rows, to_numpy
from .cuda.arrays import device_of, is_on_device
from .errors import NotTrainedError

if TYPE_CHECKING:
    from .cuda.coding import PlacedCodes

__all__ = ["OPQ", "ProductQuantizer", "Quantizer", "RabitQuantizer", "ScalarQuantizer"]

_LARGEST_SEED = 2**63 - 1


class Quantizer:
    """What all quantizers do; make one of the kinds below.

    Notes
    -----
    A quantizer is trained once. From then on it never changes, and any number of threads may use
    it. Codes, decoded rows and scores do not depend on the number of threads or the processor.

    :meth:`encode` and :meth:`decode` take arrays of a device (torch, CuPy, JAX) and return arrays
    there, the same numbers, for :class:`ScalarQuantizer` and for :class:`ProductQuantizer` with
    ``nbits`` 4 or 8. Nothing waits there but, the first time on each device, the copy of what
    training has found; so a row with NaN or infinity cannot be refused: its code means nothing.
    """

    _inner: _core.Quantizer | None = None
    _placed: dict[int, PlacedCodes] | None = None

    def _name(self) -> str:
        raise TypeError(
            "Quantizer: make a ScalarQuantizer, ProductQuantizer, OPQ or RabitQuantizer instead"
        )

    def train(
        self, x: ArrayLike, *, seed: int = 0, threads: int | None = None, stream: Any = None
    ) -> Any:
        """Learn from rows.

        Parameters
        ----------
        x : array_like, shape (n, dim)
            Rows of the kind that will be encoded, in float32, float64, float16, bfloat16, int8 or
            uint8. Large sets are sampled. A :class:`ProductQuantizer` is trained on a device where
            they are there, with the same result.
        seed : int, default 0
            Chooses the sample and the first centroids.
        threads : int, optional
            Threads for this call; :func:`nearfield.num_threads` by default.
        stream : int or object, optional
            The stream to work on, for rows on a device; by default the current one of their
            library.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            Rows that are no finite matrix, too few rows, a dimension that does not fit, or a
            quantizer that is trained already.
        DeviceError
            The device fails or has too little memory.
        """
        number = 0 if _is_zero(seed) else as_positive(seed, name="seed", largest=_LARGEST_SEED)
        thread_count = as_threads(threads)
        if is_on_device(x):
            self._inner = self._trained_there(x, number, stream)
            return self
        _refuse_stream(stream, "rows")
        rows, _ = as_rows(x, name="x", storage="float32")
        core = self._core_of(rows.shape[1])
        try:
            core.train(rows, number, thread_count)
        except ValueError as error:
            raise ValueError(f"x: {error}") from None
        self._inner = core
        return self

    def _core_of(self, columns: int) -> _core.Quantizer:
        dim = as_positive(columns, name="columns of x", largest=LARGEST_DIM)
        return _core.Quantizer(self._name(), dim) if self._inner is None else self._inner

    def _trained_there(self, x: Any, seed: int, stream: Any) -> _core.Quantizer:
        from .cuda.coding import taken_for_training, train

        with taken_for_training(x, stream) as (rows, device, on):
            core = self._core_of(rows.place[2])
            try:
                train(core, rows, seed, device, on)
            except (TypeError, ValueError) as error:
                raise type(error)(f"x: {error}") from None
            return core

    def encode(self, x: ArrayLike, *, threads: int | None = None, stream: Any = None) -> Any:
        """Turn rows into codes.

        Parameters
        ----------
        x : array_like, shape (n, dim)
            As in :meth:`train`.
        threads : int, optional
            Threads for this call.
        stream : int or object, optional
            The stream to work on, for rows on a device; by default the current one of their
            library.

        Returns
        -------
        codes : ndarray of uint8, shape (n, code_size)
            For rows on a device an array there, of their library.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        TypeError, ValueError
            Rows of another width, or with NaN or infinity; a quantizer that does not work on a
            device.
        DeviceError
            The device fails or has too little memory.
        """
        core = self._trained()
        if is_on_device(x):
            return self._on(device_of(x, "x")).encode(x, stream)
        _refuse_stream(stream, "rows")
        rows, _ = as_rows(x, name="x", dim=core.dim, storage="float32")
        try:
            return core.encode(rows, as_threads(threads))
        except ValueError as error:
            raise ValueError(f"x: {error}") from None

    def decode(self, codes: ArrayLike, *, threads: int | None = None, stream: Any = None) -> Any:
        """Turn codes back into rows, near those that were encoded.

        Parameters
        ----------
        codes : array_like of uint8, shape (n, code_size)
            Any bytes are valid codes.
        threads : int, optional
            Threads for this call.
        stream : int or object, optional
            As in :meth:`encode`.

        Returns
        -------
        rows : ndarray of float32, shape (n, dim)
            For codes on a device an array there, of their library.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        TypeError, ValueError
            Codes that are not uint8, or of another width; a quantizer that does not work on a
            device.
        DeviceError
            The device fails or has too little memory.
        """
        core = self._trained()
        if is_on_device(codes):
            return self._on(device_of(codes, "codes")).decode(codes, stream)
        _refuse_stream(stream, "codes")
        return core.decode(_as_codes(codes, core.code_size), as_threads(threads))

    def scores(
        self,
        q: ArrayLike,
        codes: ArrayLike,
        metric: Literal["l2", "ip"] = "l2",
        *,
        threads: int | None = None,
    ) -> NDArray[np.float32]:
        """Score queries with codes, as if the codes were decoded first.

        Parameters
        ----------
        q : array_like, shape (n_queries, dim) or (dim,)
            Queries; they are not quantised.
        codes : array_like of uint8, shape (n, code_size)
            What :meth:`encode` gives.
        metric : {"l2", "ip"}, default "l2"
            Squared Euclidean distance (smaller is nearer) or inner product. For cosine, normalise
            queries and rows first and use "ip".
        threads : int, optional
            Threads for this call.

        Returns
        -------
        scores : ndarray of float32, shape (n_queries, n) or (n,)

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        TypeError, ValueError
            Arguments of the wrong type or shape, an unknown metric, NaN or infinity.

        Examples
        --------
        >>> import numpy as np, nearfield as nf
        >>> x = np.float32([[0, 0], [1, 2], [3, 4]])
        >>> sq = nf.quant.ScalarQuantizer().train(x)
        >>> np.round(sq.scores(np.float32([0, 0]), sq.encode(x)))
        array([ 0.,  5., 25.], dtype=float32)
        """
        core = self._trained()
        name = choose(metric, ("l2", "ip"), name="metric")
        queries, one_vector = as_queries(q, name="q", dim=core.dim)
        bytes_ = _as_codes(codes, core.code_size)
        try:
            found = core.scores(queries, bytes_, name, as_threads(threads))
        except ValueError as error:
            raise ValueError(f"q: {error}") from None
        if name == "l2":
            np.negative(found, out=found)
        return found[0] if one_vector else found

    @property
    def is_trained(self) -> bool:
        """Whether :meth:`train` has been called."""
        return self._inner is not None

    @property
    def dim(self) -> int:
        """Columns of the rows, known from :meth:`train` on."""
        return self._trained().dim

    @property
    def code_size(self) -> int:
        """Bytes of one code, known from :meth:`train` on."""
        return self._trained().code_size

    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """Return copies of the trained arrays by name."""
        return dict(self._trained().parameters())

    def _on(self, device: int) -> PlacedCodes:
        from .cuda.coding import PlacedCodes

        placed = self._placed
        if placed is None:
            placed = self._placed = {}
        if device not in placed:
            try:
                placed[device] = PlacedCodes(self._trained(), device)
            except ValueError as error:
                raise ValueError(f"{self!r} on cuda:{device}: {error}") from None
        return placed[device]

    def _trained(self) -> _core.Quantizer:
        if self._inner is None:
            raise NotTrainedError(f"{self!r} is not trained; call train(x) first")
        return self._inner


class ScalarQuantizer(Quantizer):
    """One number of 8 or 4 bits per dimension.

    Every dimension's range in the training rows is divided into 2**bits cells; a value decodes to
    the middle of its cell, so that it is off by at most half a cell. Values outside the range go to
    the nearest cell.

    Parameters
    ----------
    bits : {8, 4}, default 8
        Bits per dimension; two dimensions share a byte at 4.

    Raises
    ------
    TypeError, ValueError
        `bits` is not 8 or 4.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> x = np.linspace(0, 1, 33, dtype=np.float32)[:, None]
    >>> sq = nf.quant.ScalarQuantizer(bits=4).train(x)
    >>> bool(np.abs(sq.decode(sq.encode(x)) - x).max() <= 1 / 32)
    True
    """

    def __init__(self, bits: int = 8) -> None:
        self.bits = as_positive(bits, name="bits")
        if self.bits not in (4, 8):
            raise ValueError(f"bits: got {bits}, expected 8 or 4")

    def __repr__(self) -> str:
        return f"ScalarQuantizer(bits={self.bits})"

    def _name(self) -> str:
        return f"sq{self.bits}"


class ProductQuantizer(Quantizer):
    """`m` parts of a vector, each replaced by the nearest of ``2**nbits`` trained centroids.

    Parameters
    ----------
    m : int, default 48
        Parts; must divide the dimension.
    nbits : int, default 8
        Bits per part, 4 to 12; a code takes ``m * nbits / 8`` bytes, rounded up. 8 and 4 are
        fastest.

    Raises
    ------
    TypeError, ValueError
        Not integers, or `nbits` outside 4 to 12.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> x = np.random.default_rng(0).standard_normal((1000, 32), dtype=np.float32)
    >>> pq = nf.quant.ProductQuantizer(m=8, nbits=6).train(x)
    >>> pq.code_size, pq.codebooks.shape
    (6, (8, 64, 4))
    """

    def __init__(self, m: int = 48, nbits: int = 8) -> None:
        self.m = as_positive(m, name="m", largest=LARGEST_DIM)
        self.nbits = as_positive(nbits, name="nbits")
        if not 4 <= self.nbits <= 12:
            raise ValueError(f"nbits: got {nbits}, expected 4 to 12")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(m={self.m}, nbits={self.nbits})"

    def _name(self) -> str:
        return f"pq{self.m}x{self.nbits}"

    @property
    def codebooks(self) -> NDArray[np.float32]:
        """Centroids, shape (m, 2**nbits, dim / m); a copy."""
        core = self._trained()
        return self.parameters()["codebooks"].reshape(self.m, 1 << self.nbits, core.dim // self.m)


class OPQ(ProductQuantizer):
    """Product quantizer of rotated vectors, the rotation learned along with the codebooks.

    More accurate than :class:`ProductQuantizer` at the same size where the dimensions are
    correlated or of unequal variance; training and encoding take longer.

    Parameters
    ----------
    m : int
        Parts; must divide the dimension.
    nbits : int, default 8
        Bits per part, 4 to 12.

    Raises
    ------
    TypeError, ValueError
        Not integers, or `nbits` outside 4 to 12.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> x = np.random.default_rng(0).standard_normal((1000, 16), dtype=np.float32)
    >>> opq = nf.quant.OPQ(m=4, nbits=4).train(x)
    >>> R = opq.rotation
    >>> bool(np.abs(R @ R.T - np.eye(16)).max() < 1e-5)
    True
    """

    def __init__(self, m: int, nbits: int = 8) -> None:
        super().__init__(m, nbits)

    def _name(self) -> str:
        return f"opq{self.m}x{self.nbits}"

    @property
    def rotation(self) -> NDArray[np.float32]:
        """Orthogonal matrix R, shape (dim, dim): the codebooks quantise ``R @ x``; a copy."""
        return self.parameters()["rotation"]


class RabitQuantizer(Quantizer):
    """Few bits for every element of a randomly rotated vector, about the mean of the training rows.

    Training finds the mean and nothing else, so codes suit rows the training has not seen. The
    scores are those of decoded rows.

    Parameters
    ----------
    bits : int
        Bits per element, 1 to 8.

    Raises
    ------
    TypeError, ValueError
        Not an integer, or outside 1 to 8.

    Notes
    -----
    A code takes ``bits / 8`` bytes an element of the rotated vector, whose dimension is rounded up,
    and a few floats a row.

    References
    ----------
    Gao and Long, RaBitQ (SIGMOD 2024); Gao et al., Practical and Asymptotically Optimal
    Quantization of High-Dimensional Vectors (SIGMOD 2025).

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> x = np.random.default_rng(0).standard_normal((1000, 64), dtype=np.float32)
    >>> codes = nf.quant.RabitQuantizer(bits=4).train(x).encode(x)
    >>> len(codes)
    1000
    """

    def __init__(self, bits: int) -> None:
        self.bits = as_positive(bits, name="bits", largest=8)

    def __repr__(self) -> str:
        return f"RabitQuantizer(bits={self.bits})"

    def _name(self) -> str:
        return f"rabitq{self.bits}"


def _refuse_stream(stream: Any, what: str) -> None:
    if stream is not None:
        raise TypeError(f"stream: got one for {what} on the CPU, expected None")


def _is_zero(seed: Any) -> bool:
    return isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and seed == 0


def _as_codes(obj: Any, code_size: int) -> NDArray[np.uint8]:
    array, dtype = to_numpy(obj, "codes")
    if dtype != "uint8":
        raise TypeError(f"codes: got {dtype}, expected uint8 as encode() returns it")
    if array.ndim != 2 or array.shape[1] != code_size:
        raise ValueError(f"codes: got shape {array.shape}, expected (n, {code_size})")
    return np.ascontiguousarray(array)

"""What every transform is: :class:`Transform`, and the registry of kinds."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..arguments import as_threads, naming
from ..arrays import as_floats, as_queries, as_rows, to_numpy

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["KINDS", "Transform", "as_bias"]

KINDS: dict[str, type[Transform]] = {}
"""Every kind of transform by its name; a class that sets `kind` is entered by itself."""


class Transform:
    """A map on vectors with parameters; make one of the kinds in :mod:`nearfield.transforms`.

    Notes
    -----
    A transform never changes, and any number of threads may use it. A row's result depends on that
    row alone, bit for bit, whatever the batch, the number of threads and the processor.

    Results are not normalised: metric ``"cosine"`` does that anyway, and parameters that stand for
    the identity then give the very result of no transform. Chain :class:`Normalize` for unit
    vectors under ``"ip"``.
    """

    kind: ClassVar[str] = ""
    """Short name of the kind, a key of :data:`KINDS`."""
    in_dim: int | None = None
    """Columns of the vectors it takes; None: any."""
    out_dim: int | None = None
    """Columns of the vectors it returns; None: as many as it is given."""

    _native: _core.Transform
    _arrays: ClassVar[tuple[str, ...]] = ()
    """Arguments that are arrays."""
    _settings: ClassVar[tuple[str, ...]] = ()
    """Arguments that are numbers or words."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.kind:
            KINDS[cls.kind] = cls

    def __init__(self) -> None:
        raise TypeError(
            f"Transform is what all kinds have in common; make one of {', '.join(sorted(KINDS))}"
        )

    def __call__(self, x: ArrayLike, threads: int | None = None) -> NDArray[np.float32]:
        """Apply the transform to vectors.

        Parameters
        ----------
        x : array_like, shape (n, in_dim) or (in_dim,)
            Vectors, taken as float32; or such an array on a CUDA device.
        threads : int, optional
            Threads for this call. Never changes the result.

        Returns
        -------
        ndarray of float32, shape (n, out_dim) or (out_dim,)
            Of an array on a CUDA device, an array of its kind there, of float16 or bfloat16 where
            `x` is: the same numbers, rounded. It is enqueued on the stream that is current in the
            library of `x`, and nothing waits.

        Raises
        ------
        TypeError, ValueError
            Vectors of another width; on the CPU, with NaN or infinity, or that the transform takes
            beyond float32. On a device these become rows of NaN.
        DeviceError
            The device, its driver or its compiler fails, or has too little memory.
        """
        return self._apply(x, None, threads)

    def _apply(
        self, x: ArrayLike, tokens: Any, threads: int | None, name: str = "x"
    ) -> NDArray[np.float32]:
        """Map vectors as a search maps its queries; `name` is what messages call them."""
        thread_count = as_threads(threads)
        if type(x) is not np.ndarray:
            from ..cuda.arrays import is_on_device

            if is_on_device(x):
                from ..cuda.transforms import applied

                return cast("NDArray[np.float32]", applied(self, x, tokens, name=name))
        rows, one_vector = _as_vectors(x, self.in_dim, name)
        try:
            result = _core.map_queries(self._map(rows, tokens), rows, thread_count)
        except ValueError as error:
            raise naming(error, query=name, row=name) from None
        return result[0] if one_vector else result

    def _bind(self) -> None:
        """Hand the arguments to the core; constructors end with it."""
        config = self.config()
        numbers = {name: value for name, value in config.items() if isinstance(value, float)}
        words = {name: value for name, value in config.items() if isinstance(value, str)}
        self._native = _core.Transform(self.kind, self.parameters(), numbers, words)

    def _map(self, rows: NDArray[np.float32], tokens: Any) -> _core.QueryMap:
        """Return what a search does to its queries."""
        return _core.QueryMap.one(self._native)

    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays by name, read-only; an argument left out is not among them."""
        named = {name: getattr(self, name) for name in self._arrays}
        return {name: array for name, array in named.items() if array is not None}

    def config(self) -> dict[str, Any]:
        """Return the other arguments by name, as values that JSON can hold."""
        return {name: getattr(self, name) for name in self._settings}

    @classmethod
    def from_parameters(
        cls, parameters: Mapping[str, ArrayLike], config: Mapping[str, Any]
    ) -> Self:
        """Make a transform from what :meth:`parameters` and :meth:`config` returned.

        Parameters
        ----------
        parameters : mapping of str to array_like
            Arrays by argument name.
        config : mapping of str to value
            Other arguments by name; those left out have their defaults.

        Raises
        ------
        TypeError, ValueError
            Names that the kind does not have or that are missing; anything that its constructor
            refuses.
        """
        _check_names(cls, parameters, cls._arrays, "array")
        _check_names(cls, config, cls._settings, "setting")
        given = {**parameters, **config}
        needed = [
            name
            for name, argument in inspect.signature(cls).parameters.items()
            if argument.default is inspect.Parameter.empty
        ]
        missing = [name for name in needed if name not in given]
        if missing:
            raise ValueError(f"{cls.kind}: {', '.join(missing)} missing, got {sorted(given)}")
        return cls(**given)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self.parameters().values())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the transform to a safetensors file, all or nothing.

        Parameters
        ----------
        path : path-like
            Replaced only once the new file is complete and on the disk.

        Raises
        ------
        ImportError
            safetensors is not installed.
        OSError
            The file cannot be written; an older file at `path` is still whole.
        ValueError
            Chains within chains, more than 16 deep.

        Examples
        --------
        See :func:`nearfield.transforms.load`.
        """
        from .files import save

        save(self, path)

    def to_sentence_transformers(
        self,
        folder: str | os.PathLike[str],
        base: str | os.PathLike[str] | None = None,
        side: Literal["query", "both"] = "query",
    ) -> None:
        """Write the transform as stock modules of sentence-transformers, or a model with them.

        Such a folder loads without ``trust_remote_code``. Only linear transforms and unit length
        can be written: :class:`Affine`, :class:`LowRank` (folded into one matrix),
        :class:`Diagonal`, :class:`Normalize` and chains of these.

        Parameters
        ----------
        folder : path-like
            The folder to make.
        base : path-like, optional
            Folder of the model whose vectors the transform maps; its files are copied. Without it
            only the modules are written, each in a folder of its own, for ``Dense.load``.
        side : {"query", "both"}, default "query"
            With `base`, whose vectors the transform maps. ``"query"`` makes a model of one
            ``Router``, which takes sentence-transformers 5 or newer: ``encode_query`` maps,
            ``encode_document`` and ``encode`` do not. ``"both"`` adds the modules to the end of the
            model.

        Raises
        ------
        ValueError
            A transform that stock modules do not express; a base model that has modules of its own
            code or a Router, or makes vectors of another dimension.
        FileExistsError
            `folder` is there and not empty.
        ImportError
            safetensors is not installed.

        Examples
        --------
        >>> import os, tempfile, numpy as np, nearfield as nf
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "modules")
        ...     nf.transforms.LowRank([[1, 0]], [[0], [2]]).to_sentence_transformers(path)
        ...     nf.transforms.from_sentence_transformers(path).w
        array([[1., 0.],
               [2., 1.]], dtype=float32)
        """
        from .export import to_sentence_transformers

        to_sentence_transformers(self, folder, base, side)

    def __repr__(self) -> str:
        shapes = [f"{name}={array.shape}" for name, array in self.parameters().items()]
        settings = [f"{name}={value!r}" for name, value in self.config().items()]
        return f"{type(self).__name__}({', '.join(shapes + settings)})"


def _check_names(
    cls: type[Transform], given: Mapping[str, Any], known: tuple[str, ...], what: str
) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"{cls.kind}: got the unknown {what} {unknown[0]!r}, expected some of "
            f"{', '.join(known) or 'none'}"
        )


def _as_vectors(x: ArrayLike, dim: int | None, name: str) -> tuple[NDArray[np.float32], bool]:
    """Return float32 rows, and whether `x` was one vector."""
    if dim is not None:
        return as_queries(x, name=name, dim=dim)
    array, _ = to_numpy(x, name)
    if array.ndim == 1 and array.size:
        return as_queries(x, name=name, dim=array.shape[0])
    return as_rows(x, name=name, storage="float32")[0], False


def as_bias(b: ArrayLike | None, *, name: str, size: int) -> NDArray[np.float32] | None:
    """Return a vector of `size` numbers, None where there is none."""
    if b is None:
        return None
    bias = as_floats(b, name=name, ndim=1)
    if bias.shape != (size,):
        raise ValueError(f"{name}: got shape {bias.shape}, expected ({size},)")
    return bias

"""Several transforms one after the other, and unit length: :class:`Chain`, :class:`Normalize`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .base import KINDS, Transform

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Chain", "Normalize"]


class Normalize(Transform):
    """``x / |x|``: unit length; a zero vector stays as it is.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> nf.transforms.Normalize()(np.float32([3, 4]))
    array([0.6, 0.8], dtype=float32)
    """

    kind = "normalize"

    def __init__(self) -> None:
        self._bind()


class Chain(Transform):
    """Transforms applied one after the other, the first one first; an empty chain changes nothing.

    Parameters
    ----------
    transforms : sequence of Transform
        What one returns the next must take. Lexical modulation needs tokens and cannot be among
        them.

    Raises
    ------
    TypeError
        Something that is not a transform of vectors alone.
    ValueError
        One returns vectors of another dimension than the next takes.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> T = nf.transforms
    >>> T.Chain([T.Diagonal([2, 1]), T.Normalize()])(np.float32([1.5, 4]))
    array([0.6, 0.8], dtype=float32)
    """

    kind = "chain"

    def __init__(self, transforms: Sequence[Transform] = ()) -> None:
        if isinstance(transforms, Transform) or not isinstance(transforms, Sequence):
            raise TypeError(
                f"transforms: got a {type(transforms).__name__}, expected a list of transforms"
            )
        self.transforms = tuple(transforms)
        for i, part in enumerate(self.transforms):
            self._append(part, i)
        self._native = _core.Transform.chain([part._native for part in self.transforms])

    def _append(self, part: Transform, i: int) -> None:
        if not isinstance(part, Transform) or part.kind == "lexical":
            raise TypeError(
                f"transforms[{i}]: got a {type(part).__name__}, expected a transform of vectors"
            )
        if part.in_dim is not None:
            if self.out_dim not in (None, part.in_dim):
                raise ValueError(
                    f"transforms[{i}]: takes {part.in_dim} dimensions, but gets {self.out_dim} "
                    "from the one before it"
                )
            if self.in_dim is None:
                self.in_dim = part.in_dim
        if part.out_dim is not None:
            self.out_dim = part.out_dim

    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of all parts, as ``"<number>.<name>"``."""
        return {
            f"{i}.{name}": array
            for i, part in enumerate(self.transforms)
            for name, array in part.parameters().items()
        }

    def config(self) -> dict[str, Any]:
        """Return kind and settings of all parts, as ``"<number>.kind"``, ``"<number>.<name>"``."""
        return {
            f"{i}.{name}": value
            for i, part in enumerate(self.transforms)
            for name, value in {"kind": part.kind, **part.config()}.items()
        }

    @classmethod
    def from_parameters(
        cls, parameters: Mapping[str, ArrayLike], config: Mapping[str, Any]
    ) -> Self:
        """Make a chain from what :meth:`parameters` and :meth:`config` returned.

        Raises
        ------
        TypeError, ValueError
            As :meth:`Transform.from_parameters`, for every part; numbers that are not 0, 1, ... or
            parts without a kind.
        """
        parts: dict[str, tuple[dict[str, ArrayLike], dict[str, Any]]] = {}
        for side, given in enumerate((parameters, config)):
            for key, value in given.items():
                number, _, name = key.partition(".")
                parts.setdefault(number, ({}, {}))[side][name] = value
        if set(parts) != {str(i) for i in range(len(parts))}:
            raise ValueError(f"chain: got parts numbered {sorted(parts)}, expected 0, 1, ...")
        return cls([_part(i, *parts[str(i)]) for i in range(len(parts))])


def _part(number: int, parameters: dict[str, ArrayLike], config: dict[str, Any]) -> Transform:
    kind = config.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"chain: part {number} has kind {kind!r}, expected one of {sorted(KINDS)}")
    return KINDS[kind].from_parameters(parameters, config)

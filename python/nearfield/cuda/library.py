"""The native module's CUDA part, told where this Python keeps compilers: :func:`library`."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from types import ModuleType

from .. import _core

__all__ = ["as_ordinal", "as_ordinals", "compiler_folders", "library"]

_BELOW_SITE = ("nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib", "torch/lib")


@functools.cache
def library() -> ModuleType:
    """Return ``_core.cuda``. Nothing of CUDA is opened yet."""
    _core.cuda.search_in(compiler_folders())
    return _core.cuda


def compiler_folders() -> list[str]:
    """Return the folders of installed packages that may hold ``libnvrtc``."""
    found = (Path(entry or ".") / below for entry in sys.path for below in _BELOW_SITE)
    return [str(folder.resolve()) for folder in found if folder.is_dir()]


def as_ordinal(device: object, *, name: str = "device") -> int | None:
    """Return the number of a CUDA device, None for the CPU.

    Parameters
    ----------
    device : str or object
        ``"cpu"``, ``"cuda"`` (the first), ``"cuda:1"``, or what shows itself so, as torch.device.
    name : str
        Argument name for messages.

    Raises
    ------
    ValueError
        Anything else.
    """
    text = str(device)
    if text == "cpu":
        return None
    kind, _, number = text.partition(":")
    if kind == "cuda" and (text == "cuda" or (number.isascii() and number.isdigit())):
        return int(number or 0)
    raise ValueError(f"{name}: got {device!r}, expected 'cpu', 'cuda' or 'cuda:<number>'")


def as_ordinals(device: object, *, name: str = "device") -> tuple[int, ...]:
    """Return the numbers of one or several CUDA devices, none of them for the CPU.

    Parameters
    ----------
    device : str, object, or sequence of them
        As :func:`as_ordinal` takes one; several each once, without the CPU.
    name : str
        Argument name for messages.

    Raises
    ------
    ValueError
        Anything else.
    """
    if not isinstance(device, (list, tuple)):
        ordinal = as_ordinal(device, name=name)
        return () if ordinal is None else (ordinal,)
    ordinals = [as_ordinal(each, name=name) for each in device]
    found = tuple(ordinal for ordinal in ordinals if ordinal is not None)
    if not found or len(set(found)) < len(ordinals):
        raise ValueError(
            f"{name}: got {device!r}, expected CUDA devices, each once; 'cpu' stands by itself"
        )
    return found

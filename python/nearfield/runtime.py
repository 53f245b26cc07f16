"""Threads, processor features and CUDA devices.

``NEARFIELD_NUM_THREADS`` sets the default number of threads and ``NEARFIELD_ISA`` (``portable``,
``avx2``, ``avx512``, ``amx``) forces an instruction set. A wrong value of either is an error
at import.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _core
from .arguments import as_positive

__all__ = [
    "DeviceInfo",
    "cpu_features",
    "cuda_report",
    "devices",
    "isa",
    "num_threads",
    "set_num_threads",
]


class DeviceInfo(NamedTuple):
    """A CUDA device.

    Attributes
    ----------
    device : str
        ``"cuda:<number>"``, as :meth:`nearfield.Index.to` takes it.
    name : str
        What the driver calls it.
    capability : str
        Compute capability, such as ``"9.0"``.
    memory : int
        Bytes.
    free : int or None
        Bytes that are free; None before this process has used the device.
    multiprocessors : int
        How many.
    """

    device: str
    name: str
    capability: str
    memory: int
    free: int | None
    multiprocessors: int


def devices() -> tuple[DeviceInfo, ...]:
    """Return the CUDA devices this process may use, none where there are none.

    :func:`cuda_report` says why there are none.

    Examples
    --------
    >>> import nearfield as nf
    >>> all(device.memory > 0 for device in nf.devices())
    True
    """
    return tuple(DeviceInfo(**described) for described in cuda_report()["devices"])


def cuda_report() -> dict[str, Any]:
    """Return what there is of CUDA: driver, compiler, cache of compiled kernels, devices.

    Returns
    -------
    dict
        ``driver``, ``driver_version``, ``driver_error``, and the same of ``compiler``: a path, a
        version such as ``"12.8"``, and what a search would raise, each empty where it does not
        apply; ``cache``, a folder; ``devices``, a list of dicts as :class:`DeviceInfo`.

    Examples
    --------
    >>> from nearfield import runtime
    >>> report = runtime.cuda_report()
    >>> bool(report["driver"]) != bool(report["driver_error"])
    True
    """
    from .cuda.library import library

    return dict(library().report())


def num_threads() -> int:
    """Return the number of threads a call uses when it is not given ``threads=``.

    Returns
    -------
    int
        At least 1. By default the processors this process may use: its affinity mask and its
        cgroup quota count.

    Examples
    --------
    >>> import nearfield as nf
    >>> nf.num_threads() >= 1
    True
    """
    return _core.num_threads()


def set_num_threads(n: int) -> None:
    """Set the default number of threads of this process.

    Results never depend on it.

    Parameters
    ----------
    n : int
        From 1 to 256.

    Raises
    ------
    TypeError
        `n` is not an integer.
    ValueError
        `n` is smaller than 1 or larger than 256.

    Examples
    --------
    >>> import nearfield as nf
    >>> before = nf.num_threads()
    >>> nf.set_num_threads(1)
    >>> nf.num_threads()
    1
    >>> nf.set_num_threads(before)
    """
    _core.set_num_threads(as_positive(n, name="n", largest=_core.MAX_THREADS))


def isa() -> str:
    """Return the instruction set in use: ``portable``, ``avx2``, ``avx512`` or ``amx``.

    Examples
    --------
    >>> import nearfield as nf
    >>> nf.isa() in {"portable", "avx2", "avx512", "amx"}
    True
    """
    return _core.isa()


def cpu_features() -> dict[str, bool]:
    """Return the processor features nearfield looks at, and whether this machine has them.

    Examples
    --------
    >>> import nearfield as nf
    >>> all(isinstance(present, bool) for present in nf.cpu_features().values())
    True
    """
    return dict(_core.cpu_features())

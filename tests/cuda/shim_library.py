"""Kernels of cuda/kernels run from NumPy arrays on the fiber shim; copies with faults in them."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "cuda" / "kernels"
SHIM = ROOT / "tests" / "cuda" / "shim"
COMPILER = os.environ.get("CXX") or shutil.which("c++") or "c++"
# As tests/cuda/CMakeLists.txt has them, quick to compile.
FLAGS = (
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-Wno-unknown-pragmas",
)


try:  # where AddressSanitizer is in this process
    _poison: Any = ctypes.CDLL(None)["__asan_poison_memory_region"]
except AttributeError:
    _poison = None


class ShimError(RuntimeError):
    """A launch that the shim refused or stopped, with its message."""


class UnknownKernelError(ShimError):
    """A library without that kernel."""


class Shim:
    """A library of kernels. Arrays are passed as pointers, NumPy scalars by value, None as null."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._launch = self._library.nearfield_shim_launch

    def launch(
        self,
        name: str,
        grid: Sequence[int],
        block: Sequence[int],
        *arguments: np.ndarray | np.generic | BoxMap | None,
        shared: int = 0,
        seed: int = 0,
    ) -> None:
        """Run a kernel over a grid of blocks; `shared` is its dynamic shared memory in bytes."""
        cells = [_cell(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(cells))(*(ctypes.addressof(cell) for cell in cells))
        message = ctypes.create_string_buffer(400)
        failed = self._launch(
            name.encode(),
            (ctypes.c_uint * 3)(*grid, *[1] * (3 - len(grid))),
            (ctypes.c_uint * 3)(*block, *[1] * (3 - len(block))),
            ctypes.c_size_t(shared),
            pointers,
            ctypes.c_size_t(len(cells)),
            ctypes.c_uint64(seed),
            message,
            ctypes.c_size_t(len(message)),
        )
        if failed:
            text = message.value.decode()
            raise (UnknownKernelError if "no kernel of that name" in text else ShimError)(text)


class Overlaid:
    """Kernels of one library, and where it has none of that name, of another."""

    def __init__(self, first: Shim, second: Shim) -> None:
        self._libraries = (first, second)

    def launch(self, name: str, *arguments: Any, **how: Any) -> None:
        """See Shim.launch."""
        first, second = self._libraries
        try:
            first.launch(name, *arguments, **how)
        except UnknownKernelError:
            second.launch(name, *arguments, **how)


class BoxMap:
    """A matrix whose boxes of 128 bytes x `box_rows` kernels copy (tests/cuda/shim/box_map.h)."""

    def __init__(self, matrix: np.ndarray, columns: int, box_rows: int) -> None:
        size = matrix.itemsize
        address = matrix.__array_interface__["data"][0]
        assert address % 16 == matrix.strides[0] % 16 == 0
        words = (0x6E662D626F782D31, address, columns, len(matrix), matrix.strides[0])
        self._memory = np.zeros(256, np.uint8)
        start = -self._memory.ctypes.data % 128
        self.array = self._memory[start : start + 128]
        self.array.view(np.uint64)[:8] = (*words, 128 // size, box_rows, size)


def _cell(argument: np.ndarray | np.generic | BoxMap | None) -> Any:
    """Return memory that holds an argument's value, as the driver takes it."""
    if isinstance(argument, BoxMap):
        return (ctypes.c_char * 128).from_buffer(argument.array)
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return ctypes.c_void_p(argument.ctypes.data)
    return np.ctypeslib.as_ctypes(np.array(argument))


def is_noticed(check: Callable[[int], None], seeds: int) -> bool:
    """Tell whether a check fails for some seed; in a child, since what is wrong may also crash."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        signal.alarm(60)
        try:
            for seed in range(seeds):
                check(seed)
        except (AssertionError, ShimError):
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


class GuardedArray:
    """An output with noise around and in it; `check` tells whether the kernel kept inside.

    Where AddressSanitizer is in the process, what it watches may not touch the noise at all.
    """

    def __init__(self, shape: tuple[int, ...] | int, dtype: Any, rng: np.random.Generator) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._memory = rng.integers(0, 256, size + 8192, dtype=np.uint8)
        self._start = 128 - self._memory.ctypes.data % 128
        self._before = self._memory.copy()
        self._end = self._start + size
        self.array = self._memory[self._start : self._end].view(dtype).reshape(shape)
        if _poison is not None:
            for part in (self._memory[: self._start], self._memory[self._end :]):
                _poison(ctypes.c_void_p(part.ctypes.data), ctypes.c_size_t(part.nbytes))

    def check(self) -> np.ndarray:
        """Return the array; fails where something beside it was written."""
        for part in (slice(None, self._start), slice(self._end, None)):
            assert np.array_equal(self._memory[part], self._before[part]), "written out of bounds"
        return self.array


def noisy(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a copy, 128-byte aligned, with noise right behind: a read past the end is not zero."""
    guarded = GuardedArray(values.shape, values.dtype, rng)
    guarded.array[...] = values
    return guarded.array


class ShimCompiler:
    """Compiles kernels with the shim, quickly; the shim itself once. `flags` come after FLAGS."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._folder, self._flags = folder, (*FLAGS, *flags)
        self._shim: list[Path] = []

    def build(self, *sources: Path) -> Path:
        """Compile .cu files, two at a time, and link them and the shim to a library."""
        header = self._folder / "shim.h"
        if not self._shim:
            shutil.copy(SHIM / "shim.h", header)
            self._call("-x", "c++-header", header, "-o", f"{header}.gch")
            self._shim = [self._object(SHIM / f"{name}.cpp") for name in ("shim", "async", "fiber")]
        with ThreadPoolExecutor(2) as pool:
            units = [("-x", "c++", "-include", header, source) for source in sources]
            objects = list(pool.map(self._object, sources, units))
        target = objects[0].with_suffix(".so")
        self._call("-shared", *objects, *self._shim, "-o", target)
        return target

    def planted_source(self, name: str, *changes: tuple[str, str]) -> Path:
        """Copy a kernel file with texts of it, or of its headers, replaced."""
        folder = self._folder / f"planted{len(list(self._folder.iterdir()))}"
        shutil.copytree(KERNELS, folder)
        for old, new in changes:
            files = [f for f in folder.iterdir() if old in f.read_text(encoding="utf-8")]
            assert files, f"nothing to plant in: {old!r} is not there"
            for file in files:
                text = file.read_text(encoding="utf-8")
                file.write_text(text.replace(old, new), encoding="utf-8")
        return folder / name

    def planted(self, name: str, *changes: tuple[str, str]) -> Shim:
        """Compile such a copy."""
        return Shim(self.build(self.planted_source(name, *changes)))

    def _object(self, source: Path, unit: tuple[str | Path, ...] = ()) -> Path:
        target = self._folder / f"{source.parent.name}_{source.stem}.o"
        self._call("-c", *(unit or (source,)), "-o", target)
        return target

    def _call(self, *arguments: str | Path) -> None:
        done = subprocess.run(
            [COMPILER, *self._flags, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-4000:]

"""Import time and size of the installed package, in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .slices import library

_CLOCK = "import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"


def _import_ms(module: str, first: str = "sys", tries: int = 7) -> float:
    """Fastest of some imports in new processes, after importing something else."""
    code = f"import {first}; " + _CLOCK.format(module=module)
    seconds = []
    for _ in range(tries):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        seconds.append(float(done.stdout))
    return 1000 * min(seconds)


class Import:
    """Milliseconds; numpy's own import is most of the first figure."""

    unit = "ms"

    def setup(self) -> None:
        library()

    def track_import(self) -> float:
        return _import_ms("nearfield")

    def track_import_after_numpy(self) -> float:
        return _import_ms("nearfield", first="numpy")


class Installed:
    """Bytes of the package on disk, Python files and the extension module."""

    unit = "bytes"

    def setup(self) -> None:
        self.folder = Path(str(library().__file__)).parent

    def track_package_bytes(self) -> int:
        wanted = (".py", ".pyi", ".so")
        return sum(f.stat().st_size for f in self.folder.rglob("*") if f.suffix in wanted)

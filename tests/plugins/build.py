"""Fixtures that hand out what the build makes: the C++ build tree and the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("NEARFIELD_BUILD_DIR", ROOT / "build"))


@pytest.fixture(scope="session")
def repo() -> Path:
    """Return the root of the clone."""
    return ROOT


def call(*command: str | Path) -> str:
    """Run a command; its output is the message when it fails."""
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-12000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def cpp_build() -> Path:
    """Return a CMake build tree of the engine and its tests, warnings being errors."""
    tree = BUILD / "cpp"
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake: `pip install cmake ninja`, or run ./nf test")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    call(
        *(cmake, "-S", ROOT, "-B", tree, *generator, "-DCMAKE_BUILD_TYPE=Release"),
        *("-DNEARFIELD_BUILD_TESTS=ON", "-DNEARFIELD_PYTHON=OFF", "-DNEARFIELD_WERROR=ON"),
    )
    call(cmake, "--build", tree, "--parallel", str(os.cpu_count() or 1))
    return tree


@pytest.fixture(scope="session")
def wheel() -> Path:
    """Return the wheel that `./nf` built and installed."""
    found = sorted((BUILD / "wheel").glob("nearfield-*.whl"))
    if not found:
        pytest.skip("no wheel in build/wheel: run ./nf test")
    return found[-1]

"""The kernels, compiled for the fiber shim."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cuda.shim_library import Shim, ShimCompiler


@pytest.fixture(scope="session")
def shim(request: pytest.FixtureRequest) -> Shim:
    """Return all kernels; NEARFIELD_CUDA_SHIM names a library that is built already."""
    built = os.environ.get("NEARFIELD_CUDA_SHIM")
    if built is None:
        built = str(request.getfixturevalue("cpp_build") / "tests" / "cuda" / "libcuda_shim.so")
    return Shim(Path(built))


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> ShimCompiler:
    """Return what compiles kernels with a fault planted in them."""
    return ShimCompiler(tmp_path_factory.mktemp("kernels"))

"""Searches on the stand-in driver, in this process. With --require=cuda the real one is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cuda.standin import Standin
from plugins.require import required


@pytest.fixture(scope="session")
def standin_path(request: pytest.FixtureRequest) -> Path:
    """Return the library; NEARFIELD_STANDIN names one that is built already."""
    if "cuda" in required(request.config):
        pytest.skip("this process uses the real driver")
    built = os.environ.get("NEARFIELD_STANDIN")
    if built is None:
        tree = request.getfixturevalue("cpp_build")
        built = str(tree / "tests" / "cuda" / "driver" / "libnearfield_standin.so")
    return Path(built)


@pytest.fixture(scope="session")
def opened(standin_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Standin:
    """Let nearfield open the stand-in driver, once for the process."""
    import nearfield as nf

    variables = {
        "NEARFIELD_LIBCUDA": str(standin_path),
        "NEARFIELD_NVRTC": str(standin_path),
        "NEARFIELD_CACHE": str(tmp_path_factory.mktemp("cubins")),
    }
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        names = [device.name for device in nf.devices()]
        # Whatever is compiled later finds the compiler open.
        assert names == ["stand-in 0", "stand-in 1"], nf.runtime.cuda_report()
    finally:
        for name in variables:
            os.environ.pop(name)
            if name in before:
                os.environ[name] = before[name]
    return Standin(standin_path)


@pytest.fixture
def standin(opened: Standin, tmp_path: Path) -> Iterator[Standin]:
    """Return the driver; memory is used rightly or the test fails."""
    from nearfield.cuda import holding

    opened.violations()
    yield opened
    opened.finish(0)
    opened.finish(1)
    holding.let_go()
    assert opened.violations() == ""
    opened.forgive()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)

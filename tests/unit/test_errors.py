"""The exceptions and the package's surface."""

from __future__ import annotations

import pickle
import subprocess
import sys

import nearfield as nf
import pytest


@pytest.mark.parametrize("name", ["NotTrainedError", "CorruptFileError", "DeviceError"])
def test_errors_share_a_base_and_survive_pickling(name: str) -> None:
    error = getattr(nf, name)
    assert issubclass(error, nf.NearfieldError)
    assert issubclass(nf.NearfieldError, Exception)
    assert pickle.loads(pickle.dumps(error("why"))).args == ("why",)


def test_public_names_are_listed_and_unknown_ones_are_attribute_errors() -> None:
    assert set(nf.__all__) <= set(dir(nf))
    assert nf.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = nf.nonsense


def fresh(code: str) -> str:
    """Run code in a new interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_import_loads_nothing_heavy_and_prints_nothing() -> None:
    heavy = "{'torch', 'transformers', 'sklearn', 'pandas', 'scipy', 'ml_dtypes'}"
    code = (
        f"import sys, nearfield as nf, nearfield.index; print(sorted({heavy} & set(sys.modules)))"
    )
    assert fresh(code) == "[]"


def test_adding_and_searching_do_not_load_masked_arrays() -> None:
    code = (
        "import sys, numpy as np; before = set(sys.modules); import nearfield as nf;"
        "index = nf.FlatIndex(2); index.add(np.ones((3, 2))); index.search([[1, 2]], filter=[0]);"
        "print('numpy.ma' in set(sys.modules) - before)"
    )
    assert fresh(code) == "False"


def test_import_is_quick() -> None:
    """Processor time, numpy included: what else runs on the machine does not count."""
    code = (
        "import time; t = time.process_time(); import nearfield as nf; nf.FlatIndex; nf.topk;"
        "print(time.process_time() - t)"
    )
    assert min(float(fresh(code)) for _ in range(5)) < 0.150


def test_a_function_is_not_hidden_by_the_module_of_its_name() -> None:
    code = "import nearfield as nf, nearfield.evaluate; print(callable(nf.evaluate))"
    assert fresh(code) == "True"

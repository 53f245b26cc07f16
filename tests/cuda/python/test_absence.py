"""What a process says that has no driver, an old one, no compiler, or was forked too late."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cuda.nvrtc import toolkit

SEARCH = """
import numpy as np, nearfield as nf
index = nf.FlatIndex(2)
index.add(np.eye(2))
try:
    index.to("cuda").search(np.eye(2), k=1)
    print("found")
except nf.DeviceError as error:
    assert isinstance(error, nf.NearfieldError)
    print(error)
assert index.search(np.eye(2), k=1).ids.tolist() == [[0], [1]]
"""


def run(script: str, standin: Path, *, fails: bool = False, **variables: str) -> str:
    """Run a script in a process whose driver is the stand-in; what it prints."""
    names = {
        "NEARFIELD_LIBCUDA": str(standin),
        "NEARFIELD_NVRTC": str(standin),
        "NEARFIELD_CACHE": "/dev/null/none",
        **variables,
    }
    environment = {**os.environ, **names}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "found"),
        ({"NEARFIELD_LIBCUDA": "/nowhere.so"}, "no CUDA driver: NEARFIELD_LIBCUDA names /nowhere"),
        ({"STANDIN_VERSION": "11080"}, "old CUDA driver"),
        ({"STANDIN_DEVICES": "0"}, "no CUDA device"),
        ({"NEARFIELD_NVRTC": "/nowhere.so"}, "no NVRTC: NEARFIELD_NVRTC names /nowhere.so"),
        ({"STANDIN_CAPABILITY": "7.0"}, "unknown architecture"),
        ({"STANDIN_COMPILE_ERROR": "a semicolon is missing"}, "error: a semicolon is missing"),
        ({"STANDIN_MEMORY": "100"}, "cannot allocate"),
    ],
)
def test_messages(standin_path: Path, variables: dict[str, str], message: str) -> None:
    assert message in run(SEARCH, standin_path, **variables)


def test_a_fork_after_cuda_started(standin_path: Path) -> None:
    script = """
import os, numpy as np, nearfield as nf
there = nf.FlatIndex(2).to("cuda")
there.add(np.eye(2))
there.search(np.eye(2), k=1)
child = os.fork()
if child == 0:
    try:
        there.search(np.eye(2), k=1)
    except nf.DeviceError as error:
        print(error, flush=True)
    here = there.to("cpu").search(np.eye(2), k=1)
    del there
    os._exit(0 if here.ids.tolist() == [[0], [1]] else 1)
assert os.waitpid(child, 0)[1] == 0
print(there.search(np.eye(2), k=1).ids.tolist())
"""
    text = run(script, standin_path)
    assert "forked after CUDA had started" in text
    assert "spawn" in text
    assert text.endswith("[[0], [1]]\n")


def test_nothing_is_opened_before_it_is_needed(standin_path: Path) -> None:
    script = """
import numpy as np, nearfield as nf
nf.topk(np.eye(2), np.eye(2))
nf.FlatIndex(2).to("cpu")
print(any("standin" in line for line in open("/proc/self/maps")))
nf.devices()
print(any("standin" in line for line in open("/proc/self/maps")))
"""
    assert run(script, standin_path).split() == ["False", "True"]


def test_doctor_names_the_devices(standin_path: Path) -> None:
    script = "from nearfield.cli import main; main(['doctor', '--json'])"
    report = json.loads(run(script, standin_path))["cuda"]
    assert [device["name"] for device in report["devices"]] == ["stand-in 0", "stand-in 1"]
    assert (report["driver_version"], report["compiler_version"]) == ("12.8", "12.8")
    script = "from nearfield.cli import main; main(['doctor'])"
    assert "compute capability 9.0" in run(script, standin_path)
    assert "no CUDA driver" in run(script, standin_path, NEARFIELD_LIBCUDA="/nowhere.so")


def test_the_real_compiler_is_found_among_packages(standin_path: Path, tmp_path: Path) -> None:
    """The stand-in driver loads what NVIDIA's NVRTC compiled, which is found by itself."""
    if toolkit("lib/libnvrtc.so.*") is None:
        pytest.skip("no NVRTC: pip install nvidia-cuda-nvrtc")
    script = """
from nearfield import runtime
from nearfield.cuda.library import library
print(runtime.cuda_report()["compiler"])
print(library().build(0, "select_k.cu"))
print(library().build(1, "select_k.cu"))
"""
    variables = {"NEARFIELD_NVRTC": "", "STANDIN_VERSION": "13000"}
    found, first, second = run(
        script, standin_path, NEARFIELD_CACHE=str(tmp_path), **variables
    ).splitlines()
    assert "libnvrtc.so" in found
    assert first.endswith("False)")
    assert second.endswith("True)")
    (cubin,) = tmp_path.glob("*.cubin")
    assert b"\x7fELF" in cubin.read_bytes()
    text = run(script, standin_path, fails=True, **{**variables, "STANDIN_VERSION": "12080"})
    assert "update the driver, or pip install nvidia-cuda-nvrtc-cu12" in text


def test_kernels_are_kept_on_disk(standin_path: Path, tmp_path: Path) -> None:
    script = SEARCH + (
        "import ctypes, os; library = ctypes.CDLL(os.environ['NEARFIELD_NVRTC']); "
        "print(library.standin_calls(b'nvrtcCompileProgram'))"
    )

    def compiled() -> int:
        found, count = run(script, standin_path, NEARFIELD_CACHE=str(tmp_path)).split()
        assert found == "found"
        return int(count)

    sources = compiled()
    assert sources == len(list(tmp_path.glob("*.cubin"))) > 0
    assert compiled() == 0
    for file in tmp_path.glob("*.cubin"):
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert compiled() == sources

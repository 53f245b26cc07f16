"""The kernels under AddressSanitizer and UndefinedBehaviorSanitizer, in processes of their own.

The shim that all other tests use traps on undefined behaviour, but reads and writes beside an array
it sees only by what they change. Here every array ends where it ends.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cuda.shim_library import COMPILER, KERNELS, ROOT, ShimCompiler

FLAGS = (
    "-fsanitize=address,undefined",
    "-fsanitize-sections=nearfield_shared",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)
FILES = sorted(KERNELS.glob("*.cu"))


@pytest.fixture(scope="module")
def runtime() -> str:
    """Return what must be in a process before any other library."""
    return ":".join([_library("libasan.so"), _library("libstdc++.so")])  # exceptions are watched


def _library(name: str) -> str:
    asked = [COMPILER, f"-print-file-name={name}"]
    found = Path(subprocess.run(asked, capture_output=True, text=True).stdout.strip())
    if not found.is_absolute():
        pytest.skip(f"no AddressSanitizer: {COMPILER} has no {name}; install GCC's libasan")
    return str(found.resolve())


@pytest.fixture(scope="module")
def sanitizing(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> ShimCompiler:
    return ShimCompiler(tmp_path_factory.mktemp("sanitized"), *FLAGS)


@pytest.fixture(scope="module")
def library(sanitizing: ShimCompiler) -> Path:
    """Return all kernels."""
    return sanitizing.build(*FILES)


def run(runtime: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run cases in a process that begins with the sanitizers' library."""
    path = os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [sys.executable, "-m", "cuda.sanitized", *map(str, arguments)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def kernels_in(library: Path) -> dict[str, str]:
    """Return all kernels but for the types in their names, and the files they come from."""
    found = {}
    for file in FILES:
        command = ["nm", "--defined-only", library.with_name(f"{KERNELS.name}_{file.stem}.o")]
        symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        names = re.findall(r" T ([a-z]\w+)$", symbols, re.MULTILINE)
        found |= dict.fromkeys(map(without_types, names), file.name)
    return found


def without_types(name: str) -> str:
    return re.sub(r"_(b?f16|f32|f64|[uie]8)(?=_|$)", "", name)


def test_every_kernel_keeps_to_its_arrays_and_to_the_language(runtime: str, library: Path) -> None:
    done = run(runtime, library)
    assert done.returncode == 0, done.stderr[-6000:]
    kernels, ran = kernels_in(library), {without_types(name) for name in done.stdout.split()}
    assert ran <= set(kernels)
    missing = {name: file for name, file in kernels.items() if name not in ran}
    assert not missing, f"no case in tests/cuda/sanitized.py runs {missing}"


FAULTS = {
    "a write beside an output": (
        *("merge_ranked.cu", "ranked", "out[i] = in[order[i]];"),
        *("out[i + 2] = in[order[i]];", "use-after-poison"),
    ),
    "a read beside the rows": (
        *("exact.cu", "exact", "static_cast<double>(to_float(x[d]));"),
        "static_cast<double>(to_float(x[d])) + 0 * to_float(x[d + 64]);",
        "use-after-poison",
    ),
    "a write beside shared memory": (
        *("clusters.cu", "clusters", "all[nearfield::kMaxWarps]"),
        *("all[1]", "insufficient space"),
    ),
    "a sum that does not fit": (
        *("probes.cu", "lists", "u32 place = 0;"),
        "i32 sum = 0x7fffffff;\nfor (u32 j = 0; j < nprobe; ++j) sum += 1;\nu32 place = sum == 5;",
        "signed integer overflow",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(
    runtime: str, sanitizing: ShimCompiler, library: Path, fault: str
) -> None:
    file, case, old, new, message = FAULTS[fault]
    planted = sanitizing.build(sanitizing.planted_source(file, (old, new)))
    done = run(runtime, library, planted, case)
    assert done.returncode != 0, "nobody noticed"
    assert message in done.stderr, done.stderr[-3000:]

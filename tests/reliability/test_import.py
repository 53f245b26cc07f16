"""An import changes nothing about the process, and a search nothing but its threads."""

from __future__ import annotations

import subprocess
import sys

import pytest
from plugins.require import cpu_levels
from reliability.child import call, environment

HEAVY = {"torch", "transformers", "sklearn", "pandas", "scipy", "faiss", "tqdm", "rich"}


@pytest.mark.parametrize("level", ["", "portable", "avx2", "avx512", "amx"])
def test_import_and_search_leave_the_process_alone(level: str) -> None:
    """Floating point, locale, environment, signals, threads, files and hooks as before."""
    if level not in ("", "portable") and level not in cpu_levels():
        pytest.skip(f"{level}: this CPU lacks it")
    found = call("reliability.importing:changes", env={"NEARFIELD_ISA": level})
    assert found["by import"] == {}
    assert found["by search"] == {}
    assert found["events"] == []
    assert not HEAVY & {name.split(".")[0] for name in found["modules"]}
    assert len(found["modules"]) < 60, found["modules"]


def test_no_runtime_of_others_is_mapped() -> None:
    """Neither OpenMP nor a BLAS nor a second C++ library: nothing to collide with."""
    libraries = call("reliability.importing:changes")["libraries"]
    native = [name for name in libraries if ".so" in name]
    foreign = ("omp", "blas", "mkl", "tbb", "stdc++", "lapack", "cuda")
    assert not [name for name in native if any(word in name.lower() for word in foreign)]
    assert [name for name in native if name.startswith("_core")]


def test_an_import_prints_nothing_and_leaves_by_itself() -> None:
    code = "import nearfield as nf; nf.FlatIndex(3).search([[1, 2, 3]]); nf.topk([[1.0]], [[2.0]])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", code],
        env=environment(),
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("NEARFIELD_ISA", "sse9", "sse9 portable avx2 avx512 amx"),
        ("NEARFIELD_ISA", "AVX2", "AVX2 portable avx2 avx512 amx"),
        ("NEARFIELD_NUM_THREADS", "0", "0 1"),
        ("NEARFIELD_NUM_THREADS", "-2", "-2"),
        ("NEARFIELD_NUM_THREADS", "two", "two"),
        ("NEARFIELD_NUM_THREADS", "1e3", "1e3"),
        ("NEARFIELD_NUM_THREADS", "99999999999999999999", "99999999999999999999"),
    ],
)
def test_settings_that_make_no_sense_are_named(name: str, value: str, words: str) -> None:
    code = "import nearfield as nf; nf.topk([[1.0]] * 9, [[2.0]] * 900, k=3)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(**{name: value}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(("ValueError", "ImportError")), last
    for word in (name, *words.split()):
        assert word in last

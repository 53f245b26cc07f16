"""Threads and processor features."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import nearfield as nf
import pytest
from plugins.require import cpu_levels


@pytest.fixture(autouse=True)
def _same_threads_afterwards() -> Iterator[None]:
    before = nf.num_threads()
    yield
    nf.set_num_threads(before)


def fresh(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter with more environment."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_default_respects_the_affinity_mask() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
    done = fresh(code + "import nearfield as nf; print(nf.num_threads())")
    assert done.stdout.strip() == "1", done.stderr
    assert nf.num_threads() >= 1


def test_set_and_read() -> None:
    nf.set_num_threads(3)
    assert nf.num_threads() == 3


def test_environment_sets_the_default() -> None:
    done = fresh("import nearfield as nf; print(nf.num_threads())", NEARFIELD_NUM_THREADS="3")
    assert done.stdout.strip() == "3", done.stderr


@pytest.mark.parametrize(
    ("bad", "error"),
    [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError), ("2", TypeError)],
)
def test_bad_thread_counts(bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^n: got .*expected an integer >= 1"):
        nf.set_num_threads(bad)


def test_more_threads_than_a_call_can_use_are_refused() -> None:
    nf.set_num_threads(256)
    for call in (
        lambda: nf.set_num_threads(257),
        lambda: nf.topk([[1.0]], [[1.0]], threads=257),
    ):
        with pytest.raises(ValueError, match=r"^(n|threads): got 257, .*>= 1 and <= 256$"):
            call()
    assert nf.num_threads() == 256
    assert nf.topk([[1.0]], [[1.0]], k=1, threads=256).ids.tolist() == [[0]]


@pytest.mark.parametrize("wish", ["0", "257", "two"])
def test_environment_outside_the_range_is_an_error(wish: str) -> None:
    done = fresh("import nearfield._core", NEARFIELD_NUM_THREADS=wish)
    assert done.returncode != 0
    for word in ("NEARFIELD_NUM_THREADS", f'"{wish}"', "1 to 256"):
        assert word in done.stderr, done.stderr


def test_features_agree_with_the_operating_system() -> None:
    features = nf.cpu_features()
    for level in ("avx2", "avx512", "amx"):
        assert features[level] <= (level in cpu_levels())


@pytest.mark.parametrize("level", ["portable", "avx2", "avx512", "amx"])
def test_forced_level(level: str) -> None:
    if level != "portable" and level not in cpu_levels():
        pytest.skip(f"{level}: this CPU lacks it")
    done = fresh("import nearfield as nf; print(nf.isa())", NEARFIELD_ISA=level)
    assert done.stdout.strip() == level, done.stderr


def test_unknown_level_is_an_error_that_lists_the_levels() -> None:
    done = fresh("import nearfield as nf; print(nf.isa())", NEARFIELD_ISA="sse9")
    assert done.returncode != 0
    for word in ("sse9", "NEARFIELD_ISA", "portable", "avx2", "avx512", "amx"):
        assert word in done.stderr

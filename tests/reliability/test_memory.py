"""Too little memory: MemoryError, nothing changed, and never the end of the process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from reliability.child import call

STEPS = int(os.environ.get("NEARFIELD_MEMORY_STEPS", "16"))
# The C library itself ends a process (127) that has no room for a new thread's variables.
FINE = {"done", "MemoryError", "exit code 127"}


def test_adding_too_much_changes_nothing() -> None:
    found = call("reliability.starving:too_much", 2)
    assert found == {"raised": ["MemoryError"] * 3, "same": True, "length": 110}


def test_any_lack_of_memory_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    found = call("reliability.starving:sweep", str(tmp_path), STEPS, 192 << 20, timeout=800)
    for name, ends in found.items():
        print(f"{name}: {ends}")
    bad = {name: ends for name, ends in found.items() if set(ends) - FINE}
    assert bad == {}
    for name in ("add", "add with ids", "search, k = n", "load", "topk"):
        assert {"done", "MemoryError"} <= set(found[name]), f"{name}: {found[name]}"


def test_any_lack_of_memory_for_codes_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    found = call("reliability.starving:sweep_codes", str(tmp_path), STEPS, 192 << 20, timeout=800)
    for name, ends in found.items():
        print(f"{name}: {ends}")
    bad = {name: ends for name, ends in found.items() if set(ends) - FINE}
    assert bad == {}
    for name in ("codes: train", "codes: search", "codes: search, k = n", "codes: load"):
        assert {"done", "MemoryError"} <= set(found[name]), f"{name}: {found[name]}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without threads")
def test_without_threads_to_start_the_caller_does_the_work() -> None:
    assert call("reliability.starving:threadless") == {"right": True, "started": 0}

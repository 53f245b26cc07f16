"""`--isa=portable,avx512`: which instruction set levels the tests of every level run.

The level is chosen when the native module loads, so each level lives in a process of its own that
answers calls; `levels` hands them out. A level this CPU lacks is a visible skip.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugins.require import cpu_levels

LEVELS = ("portable", "avx2", "avx512", "amx")
TESTS = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--isa",
        default=",".join(LEVELS),
        metavar="LIST",
        help=f"levels for the tests of every level (default: {','.join(LEVELS)})",
    )


def chosen_levels(config: pytest.Config) -> list[str]:
    """Return the levels named on the command line, in rising order."""
    named = set(filter(None, str(config.getoption("--isa")).split(",")))
    if unknown := sorted(named - set(LEVELS)):
        raise pytest.UsageError(f"--isa: unknown {unknown}, expected of {', '.join(LEVELS)}")
    return [level for level in LEVELS if level in named]


class Level:
    """A process that runs functions of `property.work` with one NEARFIELD_ISA."""

    def __init__(self, name: str) -> None:
        self.name = name
        environment = {**os.environ, "NEARFIELD_ISA": name}
        paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "plugins.serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def call(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """Run a function, named `module:function`, there, and return what it returns."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump((function, args, kwargs), process.stdin)
            process.stdin.flush()
            ok, value = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            pytest.fail(f"NEARFIELD_ISA={self.name}: the process ended with {process.wait()}")
        if not ok:
            pytest.fail(f"NEARFIELD_ISA={self.name}:\n{value}")
        return value

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


@pytest.fixture(scope="session")
def level_processes() -> Iterator[dict[str, Level]]:
    """Hold the processes started so far."""
    started: dict[str, Level] = {}
    yield started
    for level in started.values():
        level.close()


@pytest.fixture(scope="session")
def levels(request: pytest.FixtureRequest, level_processes: dict[str, Level]) -> list[Level]:
    """Return a process for every chosen level that this CPU has."""
    present = [n for n in chosen_levels(request.config) if n == "portable" or n in cpu_levels()]
    for name in present:
        if name not in level_processes:
            level_processes[name] = Level(name)
    return [level_processes[name] for name in present]

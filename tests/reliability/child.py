"""Calls in a process of their own, so that a crash or a hang is an answer and not the end.

`call("reliability.module:function", ...)` runs a function there; arguments and result travel as
JSON. The module's own stdout goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]


def environment(**more: str) -> dict[str, str]:
    """Return this environment, made to find the tests' modules."""
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


def how_ended(code: int) -> str:
    """Return a process's end in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def call(function: str, *args: Any, timeout: float = 300, env: Any = None, **kwargs: Any) -> Any:
    """Run a function in a new interpreter and return what it returns.

    A crash, an exception or a hang there is an AssertionError here.
    """
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "reliability.child", function],
        input=json.dumps([args, kwargs]),
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{function}: {how_ended(done.returncode)}\n{done.stderr[-6000:]}"
    return json.loads(done.stdout)


def address_space() -> int:
    """Return the bytes of address space this process uses."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def limit_address_space(more: int) -> None:
    """Let this process use `more` bytes of address space than it does now."""
    limit = address_space() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def main() -> None:
    """Run the function named on the command line."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, _, name = sys.argv[1].partition(":")
    args, kwargs = json.load(sys.stdin)
    result = getattr(importlib.import_module(module), name)(*args, **kwargs)
    json.dump(result, answer)
    answer.flush()


if __name__ == "__main__":
    main()

"""`--require=avx512,amx,cuda`: what is named must be there, so that green cannot mean "not run".

A feature the machine lacks ends the session at once. A test that still skips and names a required
feature in its reason fails instead.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Generator
from typing import Any

import pytest

FEATURES = ("avx2", "avx512", "amx", "cuda", "faiss", "peers", "data")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        default="",
        metavar="LIST",
        help=f"comma-separated, of {', '.join(FEATURES)}: a skip that names one of them fails",
    )


def required(config: pytest.Config) -> frozenset[str]:
    """Return the features named on the command line."""
    return frozenset(filter(None, str(config.getoption("--require")).split(",")))


def pytest_configure(config: pytest.Config) -> None:
    unknown = sorted(required(config) - set(FEATURES))
    if unknown:
        raise pytest.UsageError(f"--require: unknown {unknown}, expected of {', '.join(FEATURES)}")
    missing = sorted(required(config) & {"avx2", "avx512", "amx"} - cpu_levels())
    if missing:
        raise pytest.UsageError(f"--require: this CPU has no {', '.join(missing)}")
    if "cuda" in required(config) and not cuda_devices():
        raise pytest.UsageError("--require: this machine has no CUDA device, or no driver for it")


def cpu_levels() -> set[str]:
    """Return the levels the CPU itself reports, read without the code under test."""
    flags: set[str] = set()
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("flags"):
                    flags = set(line.split(":", 1)[1].split())
                    break
    except OSError:
        return set()
    needs = {"avx2": {"avx2", "fma", "f16c"}, "avx512": {"avx512f", "avx512bw", "avx512_vnni"}}
    levels = {name for name, wanted in needs.items() if wanted <= flags}
    return levels | ({"amx"} if {"amx_tile", "amx_int8", "amx_bf16"} <= flags else set())


def cuda_devices() -> int:
    """Return how many devices the driver itself counts, asked without the code under test."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    started = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if started else 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2])
        words = set(re.findall(r"[a-z0-9]+", reason.lower()))
        named = sorted(words & required(item.config))
        if named:
            report.outcome = "failed"
            report.longrepr = f"--require={','.join(named)}, but the test skips: {reason}"
    return report

"""What a run ran on: the header of its results."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

from bench.pareto.contestant import distribution_version
from bench.pareto.methods import REGISTRY
from bench.pareto.records import Header

# The flags that make each level, best first.
LEVELS = (
    ("amx", {"amx_tile", "amx_int8", "amx_bf16"}),
    ("avx512", {"avx512f", "avx512bw", "avx512vl", "avx512_vnni"}),
    ("avx2", {"avx2", "fma", "f16c"}),
)


def _cpu_fields() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


def level_of(flags: set[str]) -> str:
    """Highest level that a set of CPU flags makes."""
    return next((name for name, needed in LEVELS if needed <= flags), "portable")


def _commit() -> str:
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    try:
        mark = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "--short=12", "HEAD") + mark
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Installed versions of everything that takes part, empty where it is not installed."""
    packages = sorted({kind.package for kind in REGISTRY.values()} | {"numpy"})
    return {package: distribution_version(package) for package in packages}


def header(name: str, arguments: dict[str, object]) -> Header:
    """Describe machine, code, packages and arguments."""
    fields = _cpu_fields()
    flags = fields.get("flags", "").split()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": name,
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        "cpu": fields.get("model name", platform.processor() or "unknown"),
        "isa": level_of(set(flags)),
        "isa_flags": [flag for flag in flags if flag.startswith(("avx", "amx", "fma", "f16c"))],
        "cores": cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "commit": _commit(),
        "versions": versions(),
        "arguments": arguments,
    }

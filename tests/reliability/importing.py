"""Runs inside a child: everything about a process that an import could change, before and after."""

from __future__ import annotations

import ctypes
import locale
import os
import platform
import signal
import sys
import threading
from typing import Any

FLAGS = 0x3F  # sticky exception flags of MXCSR: any arithmetic sets them


def floating_point() -> dict[str, int]:
    """Return the rounding mode and, on x86-64, the control bits of both units."""
    libm = ctypes.CDLL("libm.so.6", use_errno=True)
    out = {"rounding": libm.fegetround()}
    if platform.machine() == "x86_64":
        state = (ctypes.c_uint32 * 16)()
        assert libm.fegetenv(state) == 0
        out |= {"x87": state[0] & 0xFFFF, "mxcsr": state[7] & ~FLAGS}
    return out


def libraries() -> set[str]:
    """Return the files mapped into this process."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        lines = [line.split(None, 5) for line in file]
    return {os.path.basename(line[5].strip()) for line in lines if len(line) == 6}


def process_state() -> dict[str, Any]:
    """Return what an import must leave alone."""
    with open("/proc/self/status", encoding="ascii") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    libc = ctypes.CDLL(None)
    libc.setlocale.restype = ctypes.c_char_p
    libc.getenv.restype = ctypes.c_char_p
    return {
        "floating point": floating_point(),
        "locale": [locale.setlocale(locale.LC_ALL), str(libc.setlocale(6, None))],
        "environment": dict(os.environ),
        "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "signal table": [status[key] for key in ("SigBlk", "SigIgn", "SigCgt")],
        "threads": [status["Threads"], threading.active_count()],
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "folder": os.getcwd(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "umask": status.get("Umask"),
        "hooks": [str(sys.excepthook), str(sys.displayhook), len(sys.meta_path), sys.path[:]],
        "interval": sys.getswitchinterval(),
        "limits": sys.getrecursionlimit(),
    }


def changes() -> dict[str, Any]:
    """Import everything and search; return what differs and what was touched on the way."""
    import zipfile  # noqa: F401 - numpy may load it late

    import numpy as np
    import numpy.lib.format

    events: list[str] = []

    def audit(name: str, args: tuple[Any, ...]) -> None:
        if name.split(".")[0] in ("socket", "urllib", "ftplib", "smtplib", "http", "subprocess"):
            events.append(f"{name} {args!r}")
        if name in ("os.system", "os.exec", "os.fork", "os.putenv", "os.unsetenv", "os.chdir"):
            events.append(f"{name} {args!r}")
        if name == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
            events.append(f"open {args!r}")

    sys.dont_write_bytecode = True
    modules, mapped, before = set(sys.modules), libraries(), process_state()
    sys.addaudithook(audit)
    import nearfield as nf

    for name in ("FlatIndex", "topk", "load", "Filter", "Retriever", "Encoder", "MISSING"):
        getattr(nf, name)
    after_import = process_state()
    new_modules = sorted(
        name for name in set(sys.modules) - modules if not name.startswith("nearfield")
    )
    index = nf.FlatIndex(40, "cosine")
    rows = np.random.default_rng(0).standard_normal((5000, 40)).astype(np.float32)
    index.add(rows)
    index.search(rows[:300], k=10, threads=2)
    nf.topk(rows[:300].astype(np.float16), rows.astype(np.float16), 10, "ip", threads=2)
    after_search = process_state()
    after_search["threads"] = before["threads"]  # the pool starts with the first parallel call
    return {
        "by import": {k: [before[k], v] for k, v in after_import.items() if before[k] != v},
        "by search": {k: [before[k], v] for k, v in after_search.items() if before[k] != v},
        "events": events,
        "modules": new_modules,
        "libraries": sorted(libraries() - mapped),
    }

"""Phase 2: every kernel source, compiled by NVRTC or taken from the cache, and loaded.

Then what ptxas says of every kernel: registers, shared memory, spills.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from bench.gpu.check import NOT_THERE, Check, reason
from bench.gpu.records import Box


def run(check: Check, box: Box) -> None:
    """Build everything once."""
    from nearfield.cuda.library import library

    for source in library().sources():
        seconds, from_cache = library().build(check.there.device, source)
        check.add("build", source, seconds=seconds, from_cache=from_cache)
        if not box.left():
            check.add("build", "cut", reason="no time left")
            return
    start = time.monotonic()
    try:
        _triton(check)
    except NOT_THERE as error:
        check.add("build", "Triton", reason=f"not there: {reason(error)}")
    else:
        check.add("build", "Triton, one search", seconds=time.monotonic() - start)
    compiler = check.report["compiler"]
    if check.there.dry:
        check.add("build", "registers", reason="not there: the stand-in compiles for no GPU")
        return
    try:
        kernels(check, box, Path(compiler), architecture(check))
    except (OSError, RuntimeError, AssertionError) as error:
        check.add("build", "registers", reason=f"not there: {reason(error)}")


def architecture(check: Check) -> str:
    """Return what the kernels are compiled for here."""
    major, minor = check.report["devices"][check.there.device]["capability"].split(".")
    return f"sm_{major}{minor}" + "a" * (major == "9")


def sources(folder: Path) -> list[Path]:
    """Return the files of kernels."""
    return sorted(folder.glob("*.cu"))


def kernels(check: Check, box: Box, compiler: Path, arch: str) -> None:
    """Compile all sources once more, several at a time, and keep a row a kernel."""
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root / "tests"))
    from cuda.nvrtc import Nvrtc, resources

    nvrtc, folder = Nvrtc(compiler), root / "cuda" / "kernels"
    headers = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.cuh")}

    def log_of(file: Path) -> str:
        return nvrtc.compile(file.read_text(encoding="utf-8"), arch, headers)[1]

    with ThreadPoolExecutor() as pool:
        files = sources(folder)
        for file, log in zip(files, pool.map(log_of, files), strict=True):
            if not box.left():
                check.add("build", "cut", reason="no time left for registers")
                pool.shutdown(wait=False, cancel_futures=True)
                return
            for name, needs in resources(log).items():
                fault = "spills" if needs.spills or needs.stack else ""
                check.judge("build", f"{file.name}: {name}", fault, **asdict(needs))


def _triton(check: Check) -> None:
    check.need_torch()
    import nearfield.triton as nt

    rows = check.there.random(4096, 768, "bfloat16")
    nt.topk(rows[:100], nt.Rows(rows, "ip"), 10)
    check.there.torch.cuda.synchronize()

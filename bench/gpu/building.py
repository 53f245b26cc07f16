"""Phase 2: every kernel source, compiled by NVRTC or taken from the cache, and loaded."""

from __future__ import annotations

import time

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
        return
    check.add("build", "Triton, one search", seconds=time.monotonic() - start)


def _triton(check: Check) -> None:
    check.need_torch()
    import nearfield.triton as nt

    rows = check.there.random(4096, 768, "bfloat16")
    nt.topk(rows[:100], nt.Rows(rows, "ip"), 10)
    check.there.torch.cuda.synchronize()

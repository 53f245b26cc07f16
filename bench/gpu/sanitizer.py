"""Phase 5: compute-sanitizer over small searches, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys

from bench.gpu.check import Check
from bench.gpu.records import Box

SCRIPT = """
import torch, nearfield as nf
for kind in (torch.float32, torch.bfloat16):
    x = torch.randn(3000, 64, device="cuda").to(kind)
    for metric in ("ip", "l2", "cosine"):
        nf.topk(x[:9], x, k=12, metric=metric)
x = torch.randint(0, 255, (3000, 64), device="cuda", dtype=torch.uint8)
nf.topk(x[:9], x, k=12, filter=torch.ones(3000, dtype=torch.bool, device="cuda"))
torch.cuda.synchronize()
"""


def run(check: Check, box: Box) -> None:
    """Run the script under both tools."""
    tool = shutil.which("compute-sanitizer")
    if check.there.dry or tool is None:
        why = "dry run" if check.there.dry else "compute-sanitizer is not installed"
        check.add("sanitizer", "left out", reason=why)
        return
    for name in ("memcheck", "racecheck"):
        if not box.left(15):
            check.add("sanitizer", name, reason="no time left")
            return
        command = [tool, "--tool", name, "--error-exitcode", "9", sys.executable, "-c", SCRIPT]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=box.seconds_left)
        except subprocess.TimeoutExpired:
            check.add("sanitizer", name, reason="cut: no time left")
            return
        if done.returncode == 9:
            check.judge("sanitizer", name, done.stdout[-400:])
        else:
            check.add("sanitizer", name, code=done.returncode, tail=done.stdout[-120:].strip())

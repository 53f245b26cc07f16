"""CPUs this machine is not: the installed module under qemu's user-mode emulation.

Skips without `qemu-x86_64-static` or `qemu-x86_64` (Debian: qemu-user-static or qemu-user).
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys

import pytest
from reliability.child import environment, how_ended

QEMU = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
CODE = """
import hashlib, json
import numpy as np, nearfield as nf
from reliability.samples import STORAGES, build, queries_of
answers = {}
for storage in STORAGES:
    for metric in ("l2", "ip", "cosine"):
        index = build(metric, storage, True, 300, 37)
        found = index.search(queries_of(20, 37), k=12, threads=2)
        answers[metric + storage] = hashlib.sha256(found.ids.tobytes() + found.scores.tobytes()
            ).hexdigest()
print(json.dumps({"isa": nf.isa(), "features": nf.cpu_features(), "answers": answers}))
"""


def ask(*prefix: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the searches, under an emulator when a prefix says so."""
    return subprocess.run(
        [*prefix, sys.executable, "-c", CODE],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def here() -> dict[str, str]:
    """Return the answers of this CPU."""
    done = ask()
    assert done.returncode == 0, done.stderr
    answers: dict[str, str] = json.loads(done.stdout)["answers"]
    return answers


# qemu 7.2 and later know AVX2; none knows AVX-512. The features named are taken away.
@pytest.mark.parametrize(
    ("cpu", "level"),
    [("Nehalem", "portable"), ("max,-avx,-avx2,-fma", "portable"), ("Haswell", "avx2")],
)
def test_other_processors(cpu: str, level: str, here: dict[str, str]) -> None:
    if QEMU is None or platform.machine() != "x86_64":
        pytest.skip("no qemu-x86_64-static: install qemu-user-static")
    done = ask(QEMU, "-cpu", cpu)
    if "numpy" in done.stderr.lower() and "baseline" in done.stderr.lower():
        pytest.skip(f"this numpy does not run on {cpu}")
    assert done.returncode == 0, f"{how_ended(done.returncode)}\n{done.stderr[-3000:]}"
    found = json.loads(done.stdout)
    if level == "avx2" and found["isa"] == "portable" and not found["features"]["avx2"]:
        pytest.skip(f"this qemu has no AVX2 on {cpu}")
    assert found["isa"] == level
    assert not found["features"]["avx512"]
    assert found["answers"] == here


def test_a_level_the_processor_lacks_is_an_error_that_names_the_highest() -> None:
    if QEMU is None or platform.machine() != "x86_64":
        pytest.skip("no qemu-x86_64-static: install qemu-user-static")
    for level in ("avx2", "avx512", "amx"):
        done = ask(QEMU, "-cpu", "Nehalem", NEARFIELD_ISA=level)
        assert done.returncode == 1, how_ended(done.returncode)
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith(("ImportError", "ValueError")), last
        for word in ("NEARFIELD_ISA", level, "portable", "Unset"):
            assert word in last

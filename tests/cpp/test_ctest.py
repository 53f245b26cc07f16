"""The C++ unit tests: built with warnings as errors and run by ctest, each reported by name."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest


def test_cpp_programs(cpp_build: Path, tmp_path: Path, subtests: pytest.Subtests) -> None:
    report = tmp_path / "ctest.xml"
    done = subprocess.run(
        ["ctest", "--test-dir", str(cpp_build), "--output-junit", str(report)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert report.is_file(), done.stdout
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert cases, f"ctest found no test in {cpp_build}"
    for case in cases:
        with subtests.test(case.get("name")):
            output = case.findtext("system-out") or ""
            if case.get("status") in {"notrun", "disabled"}:
                pytest.skip(output[-400:] or "skipped")
            assert case.get("status") == "run", output[-8000:]

"""Names and words: no file named after nothing, no work left as a note, no foreign runtime."""

from __future__ import annotations

import re
import subprocess

import pytest
from architecture.source_tree import CPP, CUDA, ROOT, cpp_files, python_files, relative

EMPTY_WORDS = {"util", "utils", "helper", "helpers", "manager", "common", "misc", "stuff"}
NOTES = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")
LEFT_UNDONE = re.compile(rf"\b({'|'.join(NOTES)})\b")


def tracked() -> list[str]:
    """Return what a clone holds, plus new files that are not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode != 0:
        pytest.skip("not a git clone")
    return [name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


def test_files_are_named_after_what_they_hold() -> None:
    empty = [name for name in tracked() if EMPTY_WORDS & set(re.split(r"[/_.\-]", name.lower()))]
    assert not empty, f"name these after what they hold: {empty}"


def test_nothing_is_left_undone() -> None:
    undone = []
    for name in tracked():
        if name.endswith((".py", ".pyi", ".h", ".cpp", ".cu", ".cuh", ".md", ".toml", ".txt")):
            for number, line in enumerate((ROOT / name).read_text("utf-8").splitlines(), 1):
                if LEFT_UNDONE.search(line):
                    undone.append(f"{name}:{number}: {line.strip()}")
    assert not undone, "\n".join(undone)


def test_no_stub_is_shipped() -> None:
    stubs = [
        relative(f) for f in python_files() if "raise NotImplementedError" in f.read_text("utf-8")
    ]
    assert not stubs, f"raise an error that says what to do instead: {stubs}"


def test_binary_files_stay_small() -> None:
    big = {name: size for name in tracked() if (size := (ROOT / name).stat().st_size) > 1_000_000}
    assert not big, f"files over 1 MB do not belong into the repository: {big}"


def test_headers_open_once_and_say_what_they_are() -> None:
    for file in cpp_files():
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".h":
            assert text.count("#pragma once") == 1, relative(file)
            assert text.startswith("//"), f"{relative(file)}: a header opens with what it is"


def test_engine_code_lives_in_its_namespace() -> None:
    for file in cpp_files(CPP, CUDA):
        text = file.read_text(encoding="utf-8")
        assert "namespace nearfield" in text, relative(file)
        assert not re.search(r"^\s*using namespace std\b", text, re.MULTILINE), relative(file)


def test_no_unsafe_floating_point_and_no_pickle() -> None:
    """Rounding is part of the contract, and no file a user opens may run code."""
    builds = [ROOT / name for name in tracked() if name.endswith(("CMakeLists.txt", ".cmake"))]
    for file in builds:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"-ffast-math|-Ofast|-funsafe-math|-march=native", text), file
    for file in python_files():
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) (pickle|marshal|shelve)\b", text, re.MULTILINE)
        assert "allow_pickle=True" not in text, relative(file)

"""Kernels of cuda/kernels: they see only each other, so that NVRTC, nvcc and g++ all take them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from architecture.source_tree import ROOT, includes, relative

KERNELS = ROOT / "cuda" / "kernels"
SOURCES = sorted(KERNELS.glob("*.cu*"))
BOUNDS = r"(?: __launch_bounds__\([\d, ]+\))?"
DEFINED = re.compile(rf'extern "C" __global__ void{BOUNDS}\s+(\w+(?:##\w+)*)\(')
REGISTERED = re.compile(r"NEARFIELD_KERNEL\(([\w#]+)\)")
COMMENT = re.compile(r"//[^\n]*")
MACRO = re.compile(r"#define NEARFIELD_KERNEL[^\n]*")


def test_there_are_kernels() -> None:
    assert {"device.cuh", "select_k.cu"} <= {file.name for file in SOURCES}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_kernels_include_only_kernel_headers(file: Path) -> None:
    for include in includes(file):
        assert include.ours, f"{include}: no header but our own"
        assert include.name.endswith(".cuh"), str(include)
        assert (KERNELS / include.name).is_file(), str(include)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_kernel_files_open_with_what_they_are(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("//"), f"{relative(file)} opens with what it is"
    assert "Source:" in text.split("#", 1)[0], f"{relative(file)} says what its source is"
    assert text.count("#pragma once") == (file.suffix == ".cuh"), relative(file)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_every_kernel_is_registered(file: Path) -> None:
    text = MACRO.sub("", COMMENT.sub("", file.read_text(encoding="utf-8")))
    text = re.sub(r"\s*\\\n\s*", " ", text)
    assert sorted(DEFINED.findall(text)) == sorted(REGISTERED.findall(text))

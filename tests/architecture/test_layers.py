"""Who may include whom: the table of layers, read from the #include lines themselves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from architecture.source_tree import (
    BINDINGS,
    CPP,
    CUDA,
    PACKAGE,
    Include,
    cpp_files,
    includes,
    python_files,
    relative,
    resolve,
    top_level_imports,
)

L1 = {"base", "kernels", "select", "io"}
L3 = L1 | {"transform", "quant"}
L4 = L3 | {"index", "score"}
MAY_INCLUDE = {
    "base": {"base"},
    "kernels": {"base", "kernels"},
    "select": {"base", "kernels", "select"},
    "io": {"base", "io"},
    "transform": L1 | {"transform"},
    "quant": L3,
    "index": (L3 | {"index"}) - {"kernels"},  # kernels are reached through scorers
    "score": (L3 | {"score"}) - {"kernels"},
    "interop": L4 | {"interop"},
    "cuda": L4 | {"cuda"},
    "bindings": L4 | {"interop", "cuda", "bindings"},
}
ISA_FOLDERS = sorted(
    folder.name
    for folder in (CPP / "kernels").iterdir()
    if folder.is_dir() and folder.name != "generic"
)
KERNEL_HEADERS = {"cstddef", "cstdint", "immintrin.h", "nmmintrin.h", "arm_neon.h", "arm_sve.h"}
FOREIGN = ("pybind11", "Python.h", "cuda", "omp.h", "tbb/", "cblas")


def layer(file: Path) -> str:
    """Return the layer a file belongs to: its first folder below cpp/, cuda, or the bindings."""
    if BINDINGS in file.parents:
        return "bindings"
    return "cuda" if CUDA in file.parents else file.relative_to(CPP).parts[0]


def broken_rule(include: Include) -> str | None:
    """Return what is wrong with an include, or None."""
    own = layer(include.file)
    if not include.ours:
        foreign = own != "bindings" and include.name.startswith(FOREIGN)
        return f"{include}: no such header below the bindings" if foreign else None
    target = resolve(include)
    if target is None:
        return f"{include}: no such file below cpp/"
    other = layer(target)
    if other not in MAY_INCLUDE[own]:
        return f"{include}: {own} may include {sorted(MAY_INCLUDE[own])}"
    if other == "cuda" and own != "cuda" and target != CUDA / "cuda.h":
        return f"{include}: cuda/cuda.h is the only door"
    if own == other and own in {"index", "score"}:
        mine, theirs = include.file.relative_to(CPP).parts, target.relative_to(CPP).parts
        if len(theirs) > 2 and mine[1] != theirs[1] and len(mine) > 2:
            return f"{include}: siblings do not see each other"
    return None


def test_every_folder_has_a_layer() -> None:
    folders = {file.relative_to(CPP).parts[0] for file in cpp_files(CPP)}
    assert folders <= set(MAY_INCLUDE), "a new folder below cpp/ needs its line in MAY_INCLUDE"
    assert {"base", "kernels", "select", "io", "quant", "index"} <= folders


def test_includes_follow_the_layers() -> None:
    broken = [broken_rule(include) for file in cpp_files() for include in includes(file)]
    assert not any(broken), "\n".join(filter(None, broken))


# Levels whose compile flags include another's, and whose CPUs run it.
BUILT_UPON = {"amx": {"avx512"}}


@pytest.mark.parametrize("isa", ISA_FOLDERS)
def test_kernel_units_see_only_memory(isa: str) -> None:
    """Whatever an ISA folder includes, however deep, is plain types, intrinsics or kernels."""
    pending = cpp_files(CPP / "kernels" / isa)
    assert pending, f"cpp/kernels/{isa} is empty"
    seen, broken = set(pending), []
    while pending:
        for include in includes(pending.pop()):
            target = resolve(include) if include.ours else None
            if not include.ours:
                if include.name not in KERNEL_HEADERS:
                    broken.append(f"{include}: kernels include {sorted(KERNEL_HEADERS)} only")
            elif target is None or CPP / "kernels" not in target.parents:
                broken.append(f"{include}: kernels include kernel headers only")
            elif target.relative_to(CPP).parts[1] in set(ISA_FOLDERS) - {isa} - BUILT_UPON.get(
                isa, set()
            ):
                broken.append(f"{include}: {isa} is compiled without the flags of that folder")
            elif target not in seen:
                seen.add(target)
                pending.append(target)
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("isa", ISA_FOLDERS)
def test_kernel_units_use_no_standard_templates(isa: str) -> None:
    users = [relative(f) for f in cpp_files(CPP / "kernels" / isa) if "std::" in code(f)]
    assert not users, f"std:: beyond the plain types in {users}"


def code(file: Path) -> str:
    """Return a kernel file without comments and without the plain types std:: may name."""
    lines = [line.split("//")[0] for line in file.read_text(encoding="utf-8").splitlines()]
    text = "\n".join(lines)
    for name in ("size_t", "ptrdiff_t", "uintptr_t", "nullptr_t"):
        text = text.replace(f"std::{name}", name)
    for width in (8, 16, 32, 64):
        text = text.replace(f"std::int{width}_t", "").replace(f"std::uint{width}_t", "")
    return text


# Kernels are made by decorators, when their modules are imported: only inside functions.
MAY_IMPORT = {PACKAGE / "triton" / "kernels": {"triton"}}


@pytest.mark.parametrize("folder", MAY_IMPORT, ids=relative)
def test_folders_of_kernels_are_imported_inside_functions(folder: Path) -> None:
    assert python_files(folder), f"{relative(folder)} is empty"
    importers = [
        f"{relative(file)} imports {module} at import time"
        for file in python_files()
        if file.parent != folder
        for module in top_level_imports(file)
        if f".{folder.name}" in f".{module}" and folder.parent == file.parent
    ]
    assert not importers, "\n".join(importers)


def test_importing_nearfield_needs_numpy_only() -> None:
    """Optional packages are imported inside the functions that need them."""
    allowed = set(sys.stdlib_module_names) | {"numpy", "nearfield"}
    broken = [
        f"{relative(file)} imports {module} at import time"
        for file in python_files()
        for module in top_level_imports(file)
        if not module.startswith(".")
        and module.split(".")[0] not in allowed | MAY_IMPORT.get(file.parent, set())
    ]
    assert not broken, "\n".join(broken)


def test_only_the_bindings_see_pybind11() -> None:
    users = {f.parent for f in cpp_files() if "pybind11" in f.read_text(encoding="utf-8")}
    assert users <= {BINDINGS}, sorted(map(relative, users - {BINDINGS}))

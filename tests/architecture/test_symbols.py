"""What the linker sees: an ISA exports its table and nothing that the linker could share.

An inline function or template instantiated in a unit compiled for AVX-512 is a weak symbol; the
linker may keep that copy for the whole library, which then dies on older processors. So the objects
of an ISA hold no weak symbol, the rest of the engine uses only the entry points of `table.h`, and
no wide register appears outside the ISA folders.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from architecture.source_tree import CPP

ISAS = sorted(f.name for f in (CPP / "kernels").iterdir() if f.is_dir() and f.name != "generic")
# What a compiler may call on its own, and the C library's memory functions.
FREESTANDING = re.compile(
    r"^(memcpy|memset|memmove|memcmp|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__popcountdi2)$"
)
ALLOWED_REGISTERS = {"portable": "xmm", "avx2": "xmm ymm", "avx512": "xmm ymm zmm"}

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("nm", "objdump"))), reason="needs nm and objdump (binutils)"
)


def output(*command: str | Path) -> str:
    """Return what a command prints."""
    return subprocess.run(
        [str(part) for part in command], check=True, capture_output=True, text=True
    ).stdout


def objects(tree: Path, target: str) -> list[Path]:
    """Return the object files of a CMake target."""
    found = sorted((tree / "cpp" / "CMakeFiles" / f"{target}.dir").rglob("*.o"))
    assert found, f"no object file of {target} below {tree}"
    return found


def symbols(file: Path, *options: str) -> list[tuple[str, str]]:
    """Return (kind, demangled name) of the symbols nm lists; kinds as in its manual."""
    listed = output("nm", "-C", "--format=posix", *options, file).splitlines()
    matches = (re.match(r"(.+?) ([A-Za-z])(?: [0-9a-f]+){0,2}\s*$", line) for line in listed)
    return [(m.group(2), m.group(1)) for m in matches if m]


def exported(tree: Path, isa: str) -> dict[str, str]:
    """Return {name: kind} of what an ISA's objects define for others."""
    files = objects(tree, f"nearfield_{isa}")
    return {name: kind for f in files for kind, name in symbols(f, "--defined-only", "-g")}


def wanted(files: list[Path]) -> set[str]:
    """Return the names the object files leave undefined."""
    return {name for f in files for _, name in symbols(f, "--undefined-only")}


def registers(file: Path) -> set[str]:
    """Return the vector register files an object's code touches."""
    code = output("objdump", "-d", "--no-show-raw-insn", file)
    return {match.group(1) for match in re.finditer(r"%([xyzt]mm)\d", code)}


@pytest.mark.parametrize("isa", ISAS)
def test_an_isa_shares_nothing_with_the_linker(cpp_build: Path, isa: str) -> None:
    shared = [name for name, kind in exported(cpp_build, isa).items() if kind in "WwVvuiC"]
    assert not shared, f"weak or common symbols, the linker may keep this copy for all: {shared}"


@pytest.mark.parametrize("isa", ISAS)
def test_an_isa_exports_only_its_own_names(cpp_build: Path, isa: str) -> None:
    names = exported(cpp_build, isa)
    pattern = re.compile(rf"^nearfield::(kernels::)?({isa}::|\w*{isa})")
    foreign = [name for name in names if not pattern.match(name)]
    assert names, f"{isa} exports nothing"
    assert not foreign, f"names that do not carry {isa}: {foreign}"


@pytest.mark.parametrize("isa", ISAS)
def test_an_isa_calls_only_itself(cpp_build: Path, isa: str) -> None:
    needs = wanted(objects(cpp_build, f"nearfield_{isa}")) - set(exported(cpp_build, isa))
    foreign = [name for name in needs if not FREESTANDING.match(name)]
    narrower = re.compile(r"^nearfield::kernels::fill_\w+\(")
    foreign = [name for name in foreign if not narrower.match(name)]
    assert not foreign, f"kernels call nothing outside their folder: {foreign}"


@pytest.mark.parametrize("isa", ISAS)
def test_the_engine_enters_an_isa_by_its_table_only(cpp_build: Path, isa: str) -> None:
    header = (CPP / "kernels" / isa / "table.h").read_text(encoding="utf-8")
    entries = set(re.findall(r"\b(\w+)\(", re.sub(r"//.*", "", header)))
    assert entries, f"cpp/kernels/{isa}/table.h declares no entry point"
    used = wanted(objects(cpp_build, "nearfield_core")) & set(exported(cpp_build, isa))
    stray = [name for name in used if re.sub(r"\(.*", "", name).split("::")[-1] not in entries]
    assert not stray, f"reached past the table of {isa}: {stray}"


def test_no_wide_register_outside_the_isa_folders(cpp_build: Path) -> None:
    wide = {f.name: registers(f) - {"xmm"} for f in objects(cpp_build, "nearfield_core")}
    wide = {name: found for name, found in wide.items() if found}
    assert not wide, f"the baseline must run on every x86-64: {wide}"


@pytest.mark.parametrize("isa", sorted(set(ISAS) & set(ALLOWED_REGISTERS)))
def test_an_isa_uses_the_registers_it_names(cpp_build: Path, isa: str) -> None:
    found = set().union(*map(registers, objects(cpp_build, f"nearfield_{isa}")))
    assert found <= set(ALLOWED_REGISTERS[isa].split())
    if isa != "portable":
        assert ALLOWED_REGISTERS[isa].split()[-1] in found, f"{isa} never uses its own width"

"""NVRTC through ctypes: compiles .cu files for devices that need not be there, as users do."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPTIONS = ("-std=c++17", "-fmad=false", "--ptxas-options=-v")
PACKAGES = "nvidia-cuda-nvrtc nvidia-cuda-nvdisasm"


@dataclass(frozen=True)
class Resources:
    """What ptxas says a kernel needs."""

    stack: int
    spills: int
    registers: int
    shared: int


class CompileError(RuntimeError):
    """The compiler's log."""


def toolkit(pattern: str) -> Path | None:
    """Return a file of NVIDIA's wheels, such as lib/libnvrtc.so.*, or None."""
    spec = importlib.util.find_spec("nvidia")
    for place in spec.submodule_search_locations or [] if spec else []:
        for file in sorted(Path(place).glob(f"*/{pattern}")):
            if ".alt." not in file.name:
                return file
    return None


class Nvrtc:
    """The compiler; `compile` returns a cubin and its log."""

    def __init__(self, library: Path) -> None:
        # Opened by its path, NVRTC does not find its own builtins.
        for builtins in library.parent.glob("libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
        self._library = ctypes.CDLL(str(library))

    def compile(self, source: str, arch: str, headers: dict[str, str]) -> tuple[bytes, str]:
        """Compile for an architecture such as sm_90a; CompileError with the log if it fails."""
        program = ctypes.c_void_p()
        texts = (ctypes.c_char_p * len(headers))(*(text.encode() for text in headers.values()))
        names = (ctypes.c_char_p * len(headers))(*(name.encode() for name in headers))
        create = self._library.nvrtcCreateProgram
        failed = create(
            ctypes.byref(program), source.encode(), b"kernel.cu", len(headers), texts, names
        )
        assert failed == 0, f"nvrtcCreateProgram: {failed}"
        try:
            options = [f"--gpu-architecture={arch}", *OPTIONS]
            given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            failed = self._library.nvrtcCompileProgram(program, len(options), given)
            log = self._read("ProgramLog", program).rstrip(b"\0").decode()
            if failed:
                raise CompileError(log)
            return self._read("CUBIN", program), log
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, what: str, program: Any) -> bytes:
        size = ctypes.c_size_t()
        assert getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
        memory = ctypes.create_string_buffer(size.value)
        assert getattr(self._library, f"nvrtcGet{what}")(program, memory) == 0
        return memory.raw


def resources(log: str) -> dict[str, Resources]:
    """Read `--ptxas-options=-v` of every kernel."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        name = part.split("'", 1)[0]
        stack, stores, loads = re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part
        ).groups()
        shared = re.search(r"(\d+) bytes smem", part)
        found[name] = Resources(
            stack=int(stack),
            spills=int(stores) + int(loads),
            registers=int(re.search(r"Used (\d+) registers", part).group(1)),
            shared=int(shared.group(1)) if shared else 0,
        )
    return found


def listings(cubin: bytes, file: Path) -> dict[str, str]:
    """Return the code of every kernel in a cubin, by nvdisasm."""
    nvdisasm = toolkit("bin/nvdisasm")
    assert nvdisasm is not None
    file.write_bytes(cubin)
    text = subprocess.run([nvdisasm, "-c", file], capture_output=True, text=True, check=True).stdout
    sections = re.split(r"\.section\s+\.text\.", text)[1:]
    return {re.match(r"\w+", section).group(): section for section in sections}


def instructions(cubin: bytes, file: Path) -> dict[str, set[str]]:
    """Return the opcodes of every kernel in a cubin."""
    opcode = r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?([A-Z0-9]+)"
    return {
        name: set(re.findall(opcode, section, re.M))
        for name, section in listings(cubin, file).items()
    }


def sums_touched_early(listing: str) -> list[str]:
    """Return what touches the sums of a warpgroup between its last product and the wait for all."""
    lines = listing.splitlines()
    last = max(i for i, line in enumerate(lines) if re.search(r"\b[HIQ]GMMA\.", line))
    first = int(re.search(r"GMMA\S+ R(\d+),", lines[last]).group(1))
    wait = next(
        (i for i, line in enumerate(lines[last:], last) if "DEPBAR.LE gsb0, 0x0 " in line),
        len(lines),
    )
    between = [line.split("*/", 1)[-1].strip() for line in lines[last + 1 : wait]]
    touched = [
        line
        for line in between
        if any(first <= int(r) < first + 128 for r in re.findall(r"\bR(\d+)\b", line))
    ]
    return touched if wait < len(lines) else ["no wait for all products", *touched]

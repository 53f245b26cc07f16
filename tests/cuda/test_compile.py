"""Every kernel compiles for every architecture, without spills, within what a block may have."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from cuda.nvrtc import (
    PACKAGES,
    CompileError,
    Nvrtc,
    instructions,
    listings,
    resources,
    sums_touched_early,
    toolkit,
)
from cuda.shim_library import KERNELS

ARCHITECTURES = ("sm_80", "sm_90", "sm_90a", "sm_100", "sm_120")
FILES = sorted(file.name for file in KERNELS.glob("*.cu"))
HEADERS = {file.name: file.read_text(encoding="utf-8") for file in KERNELS.glob("*.cuh")}
STATIC_SHARED = 48 << 10
# Kernels whose products run on tensor cores: the opcode that shows it.
TILES = ("q128", "q32", "q16")
TENSOR_CORES = {
    f"group_maxima_{dtype}.cu": {f"group_maxima_{dtype}_{tile}": opcode for tile in TILES}
    for dtype, opcode in (("f16", "HMMA"), ("bf16", "HMMA"), ("u8", "IMMA"), ("i8", "IMMA"))
}
TENSOR_CORES |= {
    "nearest_halves.cu": {f"nearest_{dtype}": "HMMA" for dtype in ("f16", "bf16")},
    "list_maxima_floats.cu": {f"list_maxima_{dtype}_q32": "HMMA" for dtype in ("f16", "bf16")},
    "list_maxima_u8.cu": {"list_maxima_u8_q32": "IMMA"},
    "threshold_scan_floats.cu": {f"threshold_scan_{dtype}": "HMMA" for dtype in ("f16", "bf16")},
    "threshold_scan_u8.cu": {"threshold_scan_u8": "IMMA"},
    "threshold_scan_i8.cu": {"threshold_scan_i8": "IMMA"},
    "bound_maxima_u8.cu": {f"bound_maxima_u8_{tile}": "IMMA" for tile in TILES},
}
# Where the opcodes differ: warpgroups, boxes and registers that change hands.
WARPGROUPS = {
    "threshold_warpgroups_halves.cu": (
        "HGMMA",
        "threshold_warpgroups_f16",
        "threshold_warpgroups_bf16",
    ),
    "threshold_warpgroups_u8.cu": ("IGMMA", "threshold_warpgroups_u8"),
    "threshold_warpgroups_i8.cu": ("IGMMA", "threshold_warpgroups_i8"),
}
PATTERN = "lib/libnvrtc.so.*"
HOW = f"no NVRTC for the compile gates: pip install {PACKAGES}"


@pytest.fixture(scope="module")
def nvrtc() -> Nvrtc:
    library = toolkit(PATTERN)
    if library is None:
        pytest.skip(HOW)
    return Nvrtc(library)


@pytest.fixture(scope="module")
def cubins(
    request: pytest.FixtureRequest, nvrtc: Nvrtc
) -> dict[tuple[str, str], Future[tuple[bytes, str]]]:
    """Return what the chosen tests look at, compiled two at a time."""
    chosen = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    wanted = dict.fromkeys(
        (params["name"], params["arch"])
        for params in chosen
        if params.get("name") in FILES and params.get("arch") in ARCHITECTURES
    )
    pool = ThreadPoolExecutor(2)
    return {
        (name, arch): pool.submit(
            nvrtc.compile, (KERNELS / name).read_text(encoding="utf-8"), arch, HEADERS
        )
        for name, arch in wanted
    }


def is_bounded(name: str) -> bool:
    """Whether a file, or a header it includes, says how many threads its kernels have."""
    text = (KERNELS / name).read_text(encoding="utf-8")
    headers = re.findall(r'#include "(\w+\.cuh)"', text)
    return any("__launch_bounds__" in part for part in (text, *(HEADERS[h] for h in headers)))


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", FILES)
def test_kernels_compile_without_spills(
    cubins: dict[tuple[str, str], Future[tuple[bytes, str]]], name: str, arch: str
) -> None:
    cubin, log = cubins[name, arch].result()
    assert cubin[:4] == b"\x7fELF"
    assert "warning" not in log, log
    found = resources(log)
    assert found, log
    bad = {k: r for k, r in found.items() if r.stack or r.spills or r.shared > STATIC_SHARED}
    assert not bad, f"stack, spills or too much shared memory for {arch}: {bad}"
    # Launches of up to 1,024 threads are refused where those would need more than 64 Ki registers.
    many = {k: r for k, r in found.items() if r.registers > 64 and not is_bounded(name)}
    assert not many, f"kernels without __launch_bounds__ that no large block can have: {many}"


@pytest.mark.parametrize("name", sorted(TENSOR_CORES))
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_tensor_cores_are_used(
    cubins: dict[tuple[str, str], Future[tuple[bytes, str]]], name: str, arch: str, tmp_path: Path
) -> None:
    if toolkit("bin/nvdisasm") is None:
        pytest.skip(HOW)
    found = instructions(cubins[name, arch].result()[0], tmp_path / "kernel.cubin")
    for kernel, opcode in TENSOR_CORES[name].items():
        assert opcode in found[kernel], f"{kernel}: no {opcode} among {sorted(found[kernel])}"
        assert not {"LDL", "STL"} & found[kernel], f"{kernel} keeps variables in memory"


@pytest.mark.parametrize("name", sorted(WARPGROUPS))
@pytest.mark.parametrize("arch", ["sm_90a"])
def test_warpgroups_multiply_and_boxes_are_copied(
    cubins: dict[tuple[str, str], Future[tuple[bytes, str]]], name: str, arch: str, tmp_path: Path
) -> None:
    if toolkit("bin/nvdisasm") is None:
        pytest.skip(HOW)
    cubin, log = cubins[name, arch].result()
    found = instructions(cubin, tmp_path / "kernel.cubin")
    opcode, *kernels = WARPGROUPS[name]
    for kernel in kernels:
        lacking = {opcode, "UTMALDG", "USETMAXREG", "SYNCS"} - found[kernel]
        assert not lacking, f"{kernel}: no {lacking} among {sorted(found[kernel])}"
        assert not {"LDL", "STL"} & found[kernel], f"{kernel} keeps variables in memory"
        # 384 threads of a block: 40 for those that copy, 232 for those that multiply.
        assert resources(log)[kernel].registers <= 65536 // 384
        early = sums_touched_early(listings(cubin, tmp_path / "kernel.cubin")[kernel])
        assert not early, f"{kernel}: {early[:3]} before the products are over"
    # C7510 and its like: products one by one, or fences that the compiler had to add.
    assert "(C7" not in log, log


def test_the_gate_sees_a_stack_and_an_error(nvrtc: Nvrtc) -> None:
    spilling = """
    extern "C" __global__ void spills(int* at) {
        int many[200];
        for (int i = 0; i < 200; ++i) many[i] = at[i * threadIdx.x];
        at[0] = many[at[1]];
    }"""
    assert resources(nvrtc.compile(spilling, "sm_90", {})[1])["spills"].stack >= 800
    with pytest.raises(CompileError, match="undefined"):
        nvrtc.compile("__global__ void f() { missing(); }", "sm_90", {})


def test_the_gate_sees_sums_that_are_read_early() -> None:
    product = "/*10*/ HGMMA.64x256x16.F32.BF16 R24, gdesc[UR8], R24, gsb0 ;\n"
    wait = "/*20*/ WARPGROUP.DEPBAR.LE gsb0, 0x0 ;\n"
    use = "/*30*/ FADD R3, R151, R2 ;\n"
    other = "/*30*/ FADD R3, R152, R23 ;\n"
    assert not sums_touched_early(product + other + wait + use)
    assert sums_touched_early(product + use + wait) == ["FADD R3, R151, R2 ;"]
    assert sums_touched_early(product + use) == ["no wait for all products", "FADD R3, R151, R2 ;"]


def test_nvcc_takes_the_same_files(tmp_path: Path) -> None:
    nvcc = toolkit("bin/nvcc")
    if nvcc is None:
        pytest.skip("no nvcc: pip install nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt")
    units = [KERNELS / name for name in FILES]
    # Its front end: machine code is made by ptxas, which the gates above have been through.
    how = ("-std=c++17", "-fmad=false", "-arch=compute_90a", "-ptx", "--threads=2")
    command = [nvcc, *how, *units]
    done = subprocess.run(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "warning" not in done.stdout, done.stdout

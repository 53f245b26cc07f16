"""Compile the kernels for GPUs that are not here, and print what came out as JSON.

A program of its own, run without TRITON_INTERPRET: `python gates.py [--all] [architecture ...]`.
Triton brings its own assembler and disassembler. Reported per kernel and architecture: the
tensor-core instructions in the machine code, spilled loads and stores, stack, shared memory,
registers.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import triton
from nearfield.triton import adapters, launching
from nearfield.triton.kernels import adapt, assign, encode, maxima, measure, rescan
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TENSOR_CORES = ("HGMMA", "IGMMA", "QGMMA", "UTC", "HMMA", "IMMA", "QMMA", "OMMA", "DMMA")
EVERYWHERE = ("assign bf16 *",)
SELDOM = (
    "scan fp16 batch l2 *", "scan bf16 batch cosine *", "scan bf16 32 *", "nearest l2", "lengths",
    "quantize", "adapt rank 128 *",
)  # fmt: skip
"""Left out unless --all is given: machine code like that of others, and CI has little time."""
SIZE = {"fp32": 4, "fp16": 2, "bf16": 2, "i8": 1}


def panel(types: str, tile: launching.Tile, tma: bool, **flags: Any) -> dict[str, Any]:
    """Return what both product kernels are given."""
    descriptor = "tensordesc<{}[{}, {}]>"
    q, x = (
        descriptor.format(types, rows, tile.columns) if tma else f"*{types}"
        for rows in (tile.queries, tile.rows)
    )
    constants = {
        "PRECISION": "ieee", "SIMULATE": False, "TMA": tma, "BQ": tile.queries, "BR": tile.rows,
        "BD": tile.columns, "GROUP": launching.GROUP, **flags,
    }  # fmt: skip
    return {"q": q, "x": x, "constants": constants, "warps": tile.warps, "stages": tile.stages}


def scan(types: str, n_queries: int, major: int, metric: str, aligned: bool = True) -> Any:
    """Return the first pass of a search."""
    tile = launching.batch_tile(n_queries, SIZE[types], major, aligned)
    given = panel(
        types, tile, aligned and major >= 9, ROWS_FIRST=tile.rows_first, INTEGER=types == "i8",
        WEIGHTED=metric == "cosine" or types == "i8", BIASED=metric == "l2",
        PRECISION="tf32" if types == "fp32" else "ieee",
    )  # fmt: skip
    signature = {"queries": given["q"], "rows": given["x"]}
    floats = ("weights", "biases", "factors", "lengths", "residuals", "margins", "upper")
    signature |= dict.fromkeys(floats, "*fp32")
    signature |= dict.fromkeys(("n_queries", "n_rows", "dim", "n_groups"), "i32")
    if n_queries == 1:  # Triton compiles anew for a number that is 1
        del signature["n_queries"]
        given["constants"]["n_queries"] = 1
    return maxima.maxima, signature, given, aligned


def labels(types: str, major: int) -> Any:
    """Return the assignment of k-means."""
    tile = launching.batch_tile(2**20, SIZE[types], major, True)
    given = panel(types, tile, major >= 9, BIASED=True)
    signature = {"points": given["q"], "centroids": given["x"]}
    signature |= dict.fromkeys(("biases", "lengths", "residuals", "margins"), "*fp32")
    signature |= {"groups": "*i32", "second": "*fp32"}
    signature |= dict.fromkeys(("n_points", "n_centroids", "dim", "n_groups"), "i32")
    return assign.best_groups, signature, given, True


def plain(kernel: Any, signature: str, warps: int = 4, **constants: Any) -> Any:
    """Return a kernel whose arguments are given as 'name:type name:type'."""
    pairs = dict(part.split(":") for part in signature.split())
    return kernel, pairs, {"constants": constants, "warps": warps, "stages": 2}, True


def kernels(major: int) -> dict[str, Any]:
    """Return every kernel by a name, as the package launches it; those ending in * multiply."""
    listed = {
        "scan bf16 batch ip *": scan("bf16", 4096, major, "ip"),
        "scan bf16 batch cosine *": scan("bf16", 4096, major, "cosine"),
        "scan fp16 batch l2 *": scan("fp16", 4096, major, "l2"),
        "scan int8 batch cosine *": scan("i8", 4096, major, "cosine"),
        "scan tf32 batch ip *": scan("fp32", 4096, major, "ip"),
        "scan bf16 batch unaligned *": scan("bf16", 4096, major, "ip", aligned=False),
        "scan bf16 one *": scan("bf16", 1, major, "ip"),
        "scan bf16 32 *": scan("bf16", 32, major, "cosine"),
        "scan int8 64 *": scan("i8", 64, major, "l2"),
        "assign bf16 *": labels("bf16", major),
    }
    rows = "queries:*fp32 rows:*bf16 groups:*i64 order:*i64"
    listed["rescan cosine"] = plain(
        rescan.rescan, f"{rows} scores:*fp64 n_rows:i32 dim:i32 slots:i32",
        METRIC="cosine", BD=64, GROUP=32,
    )  # fmt: skip
    listed["nearest l2"] = plain(
        rescan.nearest, f"{rows} best:*fp64 labels:*i64 n_rows:i32 dim:i32",
        METRIC="l2", BD=64, GROUP=32,
    )  # fmt: skip
    listed["lengths"] = plain(
        measure.lengths, "rows:*bf16 squares:*fp64 largest:*fp32 n_rows:i32 dim:i32", BR=32, BD=64
    )
    listed["quantize"] = plain(
        measure.quantize,
        "rows:*bf16 scales:*fp32 codes:*i8 left:*fp64 n_rows:i32 dim:i32",
        INTEGER=True, BR=32, BD=64,
    )  # fmt: skip
    listed["chunk sums"] = plain(
        assign.chunk_sums,
        "points:*bf16 order:*i64 chunk_first:*i64 chunk_count:*i64 sums:*fp64 dim:i32",
        CHUNK=256, BD=1024,
    )  # fmt: skip
    pieces = "order:*i64 piece_first:*i64 piece_count:*i64 piece_adapter:*i64"
    for rank in (16, 64, 128):
        size, columns, warps = adapters.tile_of(rank)
        listed[f"adapt rank {rank} *"] = plain(
            adapt.adapt,
            f"x:*bf16 {pieces} down:*fp32 up:*fp32 bias:*fp32 ranks:*i64 out:*bf16 dim:i32", warps,
            MIXES=rank == 64, BIASED=True, NORMALIZE=True, RANK=rank, PRECISION="tf32x3",
            SIMULATE=False, BM=size, BD=columns,
        )  # fmt: skip
    listed["modulate"] = plain(
        adapt.modulate,
        "x:*fp32 ids:*i64 weights:*fp32 offsets:*i64 matrix:*fp32 bias:*fp32 out:*fp32 dim:i32",
        8, BIASED=True, NORMALIZE=True, BD=8192,
    )  # fmt: skip
    counts = "n:i32 m:i32 k:i32 width:i32"
    listed["encode *"] = plain(
        encode.encode,
        f"x:*fp32 codebooks:*fp32 halves:*fp32 longest:*fp32 codes:*i32 doubt:*i8 {counts} "
        "share:fp32",
        8, SIMULATE=False, BM=128, BK=128, WIDTH=16,
    )  # fmt: skip
    listed["settle"] = plain(
        encode.settle, f"x:*fp32 codebooks:*fp32 codes:*i32 doubt:*i8 {counts}", 8, BM=64, BK=32
    )
    return listed


def compiled(kernel: Any, signature: dict[str, str], given: dict[str, Any], aligned: bool,
             architecture: int) -> Any:  # fmt: skip
    """Compile with pointers of 16 bytes, and with widths that are multiples of 16 if aligned."""
    names = kernel.arg_names
    full = {name: signature.get(name, "constexpr") for name in names}
    constants = {(names.index(name),): value for name, value in given["constants"].items()}
    divisible = {
        (i,): [["tt.divisibility", 16]]
        for i, name in enumerate(names)
        if full[name].startswith("*") or (aligned and name == "dim")
    }
    source = ASTSource(kernel, full, constants, divisible)
    options = {"num_warps": given["warps"], "num_stages": given["stages"]}
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def tool(name: str) -> str:
    """Return the path of one of the programs in Triton's wheel."""
    folder = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    return str(folder / name)


def report(binary: Any) -> dict[str, Any]:
    """Read machine code and resources out of a compiled kernel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()
        run = [tool("cuobjdump"), "-sass", "-res-usage", file.name]
        text = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    words = re.findall(r"^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?\s*(\w+)", text, re.MULTILINE)
    cores = sorted({core for core in TENSOR_CORES for word in words if word.startswith(core)})
    usage = dict(re.findall(r"(REG|STACK|SHARED):(\d+)", text))
    return {
        "instructions": len(words),
        "cores": cores,
        "spills": sum(word in ("LDL", "STL") for word in words),
        "stack": int(usage.get("STACK", -1)),
        "registers": int(usage.get("REG", -1)),
        "shared": int(binary.metadata.shared),
    }


def main(architectures: list[int], everything: bool) -> None:
    """Print one JSON object a line; for all but the first architecture, of products only."""
    for architecture in architectures:
        for name, (kernel, signature, given, aligned) in kernels(architecture // 10).items():
            if not everything and (
                name in SELDOM or (architecture != architectures[0] and name not in EVERYWHERE)
            ):
                continue
            started = time.monotonic()
            line: dict[str, Any] = {"architecture": architecture, "kernel": name}
            try:
                line |= report(compiled(kernel, signature, given, aligned, architecture))
            except Exception as error:
                line["error"] = f"{type(error).__name__}: {str(error)[-600:]}"
            line["seconds"] = round(time.monotonic() - started, 2)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    chosen = [int(word) for word in sys.argv[1:] if word != "--all"]
    main(chosen or [80, 90, 100, 120], "--all" in sys.argv)

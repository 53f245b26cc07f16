"""Phase 1: what the device is, and the most it does here: copies and products of matrices."""

from __future__ import annotations

from typing import Any

from bench.gpu.check import Check, reason
from bench.gpu.records import Box

COPIED = 4 << 30  # bytes, read and written: 8 GB of traffic
SHAPES = ((8192, 8192, 8192), (8192, 131_072, 768))  # a large product; one as a search has it


def run(check: Check, box: Box) -> None:
    """Name the device and measure its ceilings."""
    report = check.report
    for device in report["devices"]:
        check.add("device", device["device"], **{k: device[k] for k in ("name", "capability")})
    versions = {"driver": report["driver_version"], "nvrtc": report["compiler_version"]}
    check.add("device", "software", **versions, **_packages())
    if check.there.dry:
        check.add("device", "ceilings", reason="left out: a dry run has no speed")
        return
    _copy(check)
    for shape in SHAPES:
        for kind in ("bf16", "fp8", "int8"):
            if not box.left(3):
                return
            _product(check, shape, kind)


def _packages() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("torch", "triton", "cupy-cuda12x", "cupy-cuda13x", "jax"):
        try:
            found[name.partition("-")[0]] = version(name)
        except PackageNotFoundError:
            found.setdefault(name.partition("-")[0], "not installed")
    return found


def _copy(check: Check) -> None:
    torch = check.there.torch
    one = torch.empty(COPIED // 4, dtype=torch.int32, device="cuda").random_()
    two = torch.empty_like(one)
    ms = check.there.milliseconds(lambda _: two.copy_(one))
    check.ceilings["GB/s"] = 2 * COPIED / ms / 1e6
    check.add("device", "copy of 4 GiB", ms=ms, GB_s=check.ceilings["GB/s"])


def _product(check: Check, shape: tuple[int, int, int], kind: str) -> None:
    m, n, k = shape
    name = f"{kind} product {m} x {n} x {k}"
    try:
        ms = check.there.milliseconds(_multiply(check.there.torch, shape, kind))
    except (RuntimeError, TypeError, AttributeError) as error:
        check.add("device", name, reason=reason(error))
        return
    rate = 2e-9 * m * n * k / ms
    check.ceilings[kind] = max(rate, check.ceilings.get(kind, 0.0))
    check.add("device", name, ms=ms, TFLOP_s=rate)


def _multiply(torch: Any, shape: tuple[int, int, int], kind: str) -> Any:
    m, n, k = shape
    if kind == "int8":
        a, b = (
            torch.randint(-128, 128, s, dtype=torch.int8, device="cuda") for s in ((m, k), (n, k))
        )
        return lambda _: torch._int_mm(a, b.T)
    a, b = (torch.randn(s, device="cuda", dtype=torch.bfloat16) for s in ((m, k), (n, k)))
    if kind == "bf16":
        return lambda _: a @ b.T
    one = torch.ones((), device="cuda")
    a, b = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn)
    return lambda _: torch._scaled_mm(a, b.T, one, one, out_dtype=torch.bfloat16)

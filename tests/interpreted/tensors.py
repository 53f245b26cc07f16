"""Test data as torch tensors, and faults planted into kernels."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def tensor(rows: np.ndarray, storage: str = "float32") -> torch.Tensor:
    """Return stored rows as a tensor; bfloat16 rows come as uint16."""
    if storage == "bfloat16":
        return torch.from_numpy(rows.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(rows)


def plant(
    monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, right: str, wrong: str
) -> Any:
    """Replace the public names of a module by those of a copy with one text changed."""
    original: Any = importlib.import_module(f"nearfield.triton.{module}")
    source = Path(original.__file__).read_text(encoding="utf-8")
    assert source.count(right) >= 1, f"{module} does not hold {right!r}"
    copy = folder / f"planted_{module.replace('.', '_')}.py"
    copy.write_text(source.replace(right, wrong), "utf-8")
    name = f"{original.__package__}.{copy.stem}"
    spec = importlib.util.spec_from_file_location(name, copy)
    assert spec is not None
    assert spec.loader is not None
    planted = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, planted)
    spec.loader.exec_module(planted)
    for public in original.__all__:
        right_one = getattr(original, public)
        for holder in [m for n, m in sys.modules.items() if n.startswith("nearfield.triton")]:
            if vars(holder).get(public) is right_one and holder is not planted:
                monkeypatch.setattr(holder, public, getattr(planted, public))
    return planted


def assert_caught(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    fault: tuple[str, str, str],
    check: Callable[[], None],
    ready: Callable[[Any], None] = lambda planted: None,
) -> None:
    """Plant a fault (see `plant`) and see a check fail; `ready` is given the module with it."""
    ready(plant(monkeypatch, folder, *fault))
    with pytest.raises((AssertionError, IndexError)):
        check()

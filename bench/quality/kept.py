"""Arrays kept in files that appear whole: a run that is stopped leaves none half written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def keep(path: Path, **arrays: Any) -> None:
    """Write arrays to an .npz file, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp.npz")
    np.savez(fresh, **arrays)
    fresh.rename(path)

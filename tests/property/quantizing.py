"""What runs inside a level's process: trains, encodes, decodes and scores with one quantizer."""

from __future__ import annotations

import numpy as np
from nearfield import _core


def everything(name: str, x: np.ndarray, q: np.ndarray) -> dict[str, bytes]:
    """Return all a quantizer shows as bytes."""
    quantizer = _core.Quantizer(name, x.shape[1])
    quantizer.train(x, 0, 2)
    codes = quantizer.encode(x, 2)
    shown = {name: values.tobytes() for name, values in quantizer.parameters()}
    shown["codes"] = codes.tobytes()
    shown["decoded"] = quantizer.decode(codes, 2).tobytes()
    for metric in ("ip", "l2"):
        shown[metric] = quantizer.scores(q, codes, metric, 2).tobytes()
    return shown

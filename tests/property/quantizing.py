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


def codes_of(name: str, trained_on: np.ndarray, x: np.ndarray) -> bytes:
    """Return codes of rows unlike those that were trained on; what they decode to is finite."""
    quantizer = _core.Quantizer(name, x.shape[1])
    quantizer.train(trained_on, 0, 1)
    codes = quantizer.encode(x, 1)
    assert np.isfinite(quantizer.decode(codes, 1)).all()
    return codes.tobytes()

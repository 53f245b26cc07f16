"""What runs inside a level's process: transforms and searches through them."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np


def results(
    kind: str, parameters: dict[str, np.ndarray], config: dict[str, Any], x: np.ndarray
) -> bytes:
    """Return what a transform makes of rows."""
    return nf.transforms.base.KINDS[kind].from_parameters(parameters, config)(x).tobytes()


def modulated(
    parameters: dict[str, np.ndarray],
    config: dict[str, Any],
    x: np.ndarray,
    tokens: tuple[np.ndarray, ...] | np.ndarray,
) -> bytes:
    """Return what lexical modulation makes of rows."""
    modulation = nf.transforms.LexicalModulation.from_parameters(parameters, config)
    given = nf.Tokens(*tokens) if isinstance(tokens, tuple) else tokens
    return modulation(x, given).tobytes()

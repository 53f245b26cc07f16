"""Rows in the order of their labels, so that ties go to the smaller one: :func:`by_label`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .library import library

__all__ = ["by_label", "in_order"]


def by_label(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint32] | None]:
    """Return labels in ascending order, and the row of each; None where they are so already."""
    if bool((labels[1:] > labels[:-1]).all()):
        return labels, None
    order = np.argsort(labels)
    return labels[order], order.astype(np.uint32)


def in_order(mask: Any, order: Any, n: int, device: int, stream: int) -> Any:
    """Return a mask by row of the index, ``(keeper, address)`` or None, by row of its copy."""
    if mask is None or order is None:
        return mask
    picked = library().DeviceArray((max(n, 1),), "uint8", device, stream)
    library().pick_bytes(mask[1], order[1], n, picked._address, (device, stream))
    return picked, picked._address

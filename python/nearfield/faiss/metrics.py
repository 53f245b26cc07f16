"""FAISS's metrics, their names here, and what stands in for results that are missing."""

from __future__ import annotations

import numpy as np

from ..arguments import Metric

__all__ = ["METRIC_INNER_PRODUCT", "METRIC_L2", "native_metric", "worst_distance"]

METRIC_INNER_PRODUCT = 0
METRIC_L2 = 1

_NAMES: dict[int, Metric] = {METRIC_INNER_PRODUCT: "ip", METRIC_L2: "l2"}


def native_metric(metric: object) -> Metric:
    """Return nearfield's name of a metric, ``METRIC_L2`` or ``METRIC_INNER_PRODUCT``."""
    if isinstance(metric, bool) or not isinstance(metric, int) or metric not in _NAMES:
        raise ValueError(
            f"metric: got {metric!r}, expected METRIC_INNER_PRODUCT (0) or METRIC_L2 (1); for "
            "cosine normalize rows and queries with normalize_L2 and take METRIC_INNER_PRODUCT"
        )
    return _NAMES[metric]


def worst_distance(metric: int) -> float:
    """Return what FAISS gives where there is no result: the worst finite float32."""
    largest = float(np.finfo(np.float32).max)
    return largest if metric == METRIC_L2 else -largest

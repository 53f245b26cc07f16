"""Search on NVIDIA GPUs by Triton kernels, on torch tensors: the optional extra ``triton``.

Names, arguments and results are those of the package; tensors go in and come out on the same
device, on its current stream, with scratch from torch's allocator. Importing this module imports
neither torch nor Triton.

==================  =====================================================================
:func:`topk`        exact k nearest rows: ip, cosine, l2; float32, float16, bfloat16; any k
:class:`Rows`       rows made ready once, with int8 or half codes to scan where wanted
:func:`assign`      the nearest centroid of every point
:func:`update`      the mean of the points of every cluster
:func:`adapt`       low-rank, key-value and lexical transforms, one per row where wanted
:class:`Adapters`   such transforms with their parameters on the device
:func:`encode`      product-quantizer codes
==================  =====================================================================
"""

from __future__ import annotations

from .adapters import Adapters, adapt
from .clusters import assign, update
from .products import encode
from .rows import Rows
from .search import topk

__all__ = ["Adapters", "Rows", "adapt", "assign", "encode", "topk", "update"]

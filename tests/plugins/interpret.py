"""Triton kernels run in its interpreter: the variable is set before anything imports Triton."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

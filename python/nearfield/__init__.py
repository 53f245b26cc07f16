"""nearfield: exact and approximate nearest-neighbour search for embeddings.

Names load on first use, so ``import nearfield`` stays quick and a part that needs more than NumPy
(encoders, evaluation) costs nothing until it is touched.

Examples
--------
>>> import numpy as np
>>> import nearfield as nf
>>> corpus = np.float32([[1, 0], [0, 1], [1, 1]])
>>> nf.topk(np.float32([[1, 0.1]]), corpus, k=2, metric="cosine").ids
array([[0, 2]])
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import CorruptFileError, DeviceError, NearfieldError, NotTrainedError

if TYPE_CHECKING:
    from . import faiss, quant, runtime, transforms
    from .bootstrap import BootstrapInterval, paired_bootstrap
    from .encoders import Encoder
    from .evaluate import evaluate, evaluate_per_query
    from .exact import topk
    from .factory import index_factory
    from .files import load
    from .filters import Filter
    from .fitting import (
        AdapterFit,
        FitReport,
        ModulationFit,
        UpgradeFit,
        UpgradeReport,
        fit_adapter,
        fit_modulation,
        fit_upgrade,
    )
    from .flat import FlatIndex
    from .hnsw import HNSWIndex
    from .index import Index
    from .ivf import IVFIndex
    from .kmeans import KMeans
    from .mapping import map_corpus
    from .result import MISSING, RangeResult, SearchResult
    from .retriever import Hit, Retriever
    from .runtime import cpu_features, devices, isa, num_threads, set_num_threads
    from .transforms.tokens import Tokens
    from .tuning import Tuning, tune

__version__ = "0.1.0"

__all__ = [
    "MISSING",
    "AdapterFit",
    "BootstrapInterval",
    "CorruptFileError",
    "DeviceError",
    "Encoder",
    "Filter",
    "FitReport",
    "FlatIndex",
    "HNSWIndex",
    "Hit",
    "IVFIndex",
    "Index",
    "KMeans",
    "ModulationFit",
    "NearfieldError",
    "NotTrainedError",
    "RangeResult",
    "Retriever",
    "SearchResult",
    "Tokens",
    "Tuning",
    "UpgradeFit",
    "UpgradeReport",
    "__version__",
    "cpu_features",
    "devices",
    "evaluate",
    "evaluate_per_query",
    "faiss",
    "fit_adapter",
    "fit_modulation",
    "fit_upgrade",
    "index_factory",
    "isa",
    "load",
    "map_corpus",
    "num_threads",
    "paired_bootstrap",
    "quant",
    "runtime",
    "set_num_threads",
    "topk",
    "transforms",
    "tune",
]

_MODULES = {"faiss", "quant", "runtime", "transforms"}

_HOME = {
    "AdapterFit": "fitting",
    "BootstrapInterval": "bootstrap",
    "Encoder": "encoders",
    "Filter": "filters",
    "FitReport": "fitting",
    "FlatIndex": "flat",
    "HNSWIndex": "hnsw",
    "Hit": "retriever",
    "IVFIndex": "ivf",
    "Index": "index",
    "KMeans": "kmeans",
    "MISSING": "result",
    "ModulationFit": "fitting",
    "RangeResult": "result",
    "Retriever": "retriever",
    "SearchResult": "result",
    "Tokens": "transforms.tokens",
    "Tuning": "tuning",
    "UpgradeFit": "fitting",
    "UpgradeReport": "fitting",
    "cpu_features": "runtime",
    "devices": "runtime",
    "evaluate": "evaluate",
    "evaluate_per_query": "evaluate",
    "fit_adapter": "fitting",
    "fit_modulation": "fitting",
    "fit_upgrade": "fitting",
    "index_factory": "factory",
    "isa": "runtime",
    "load": "files",
    "map_corpus": "mapping",
    "num_threads": "runtime",
    "paired_bootstrap": "bootstrap",
    "set_num_threads": "runtime",
    "topk": "exact",
    "tune": "tuning",
}


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # Importing a submodule binds it in its package; where a function has the same name as
        # its module (`evaluate`), the function is what the package shows.
        if isinstance(value, ModuleType) and name in _HOME:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))

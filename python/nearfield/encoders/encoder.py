"""Encoder: texts to float32 vectors with a HuggingFace model.

The idea in one sentence: everything that decides what a vector means (pooling, prompts, projection,
normalisation, length) is read from the model's own files, can be overridden by name, and is part of
`Encoder.fingerprint`, which an index built with it keeps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..progress import Progress, bar
from . import network
from .batches import pack, pad
from .config import POOLING_MODES, TextModelConfig, check_pooling, file_reader, read_config
from .pooling import pool

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Encoder", "Kind"]

Kind = Literal["query", "document"]

_WINDOW = 16_384  # texts tokenized at a time: bounds the memory of a long encode
_TOKEN_BUDGET = {"cpu": 8_192}
_TOKEN_BUDGET_ACCELERATOR = 65_536


class Encoder:
    """Text encoder over ``transformers.AutoModel``.

    Parameters
    ----------
    model : str
        HuggingFace name or path of a local folder.
    pooling : str or tuple of str, optional
        "cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", or several of
        them concatenated. Default: what the model's own files say.
    prompts : mapping, optional
        Prompt texts by name, on top of the model's own: "query" goes in front of queries,
        "document" (or "passage", "corpus") in front of documents.
    default_prompt_name : str, optional
        Prompt for a kind of text that has none of its own.
    include_prompt : bool, optional
        Whether the prompt's tokens take part in the pooling.
    normalize : bool, optional
        Whether vectors are scaled to length 1. Default: what the model's own files say.
    max_seq_length : int, optional
        Longer texts are cut to this many tokens.
    truncate_dim : int, optional
        Keep this many leading components (Matryoshka), normalised again where `normalize` holds.
    device : str, optional
        torch device; default the first of CUDA, MPS and the CPU that is there.
    dtype : {"float32", "bfloat16", "auto"}
        Precision of the network. "auto" takes bfloat16 where the device multiplies it natively.
    token_budget : int, optional
        Padded tokens per batch; default 8,192 on a CPU and 65,536 elsewhere.
    trust_remote_code, local_files_only, revision
        As in ``from_pretrained``.

    Attributes
    ----------
    dim : int
        Length of a vector.
    metric : str
        The similarity the model was trained for: "cosine", "ip" or "l2".

    Raises
    ------
    ImportError
        torch or transformers is missing; the message holds the pip line.
    OSError
        There is no such model, or it cannot be fetched or read.
    ValueError
        The model's files do not say how to pool and `pooling` is not given, a module of the model
        is of an unknown type, or an argument is out of range.

    Notes
    -----
    `encode` may be called from several threads.

    Examples
    --------
    >>> enc = Encoder("sentence-transformers/all-MiniLM-L6-v2")      # doctest: +SKIP
    >>> enc.encode(["a text", "another"]).shape                      # doctest: +SKIP
    (2, 384)
    """

    def __init__(
        self,
        model: str,
        *,
        pooling: str | Sequence[str] | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        include_prompt: bool | None = None,
        normalize: bool | None = None,
        max_seq_length: int | None = None,
        truncate_dim: int | None = None,
        device: str | None = None,
        dtype: str = "float32",
        token_budget: int | None = None,
        trust_remote_code: bool = False,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> None:
        network.require_hf()
        _check_positive(
            max_seq_length=max_seq_length, truncate_dim=truncate_dim, token_budget=token_budget
        )
        hub = {"revision": revision, "local_files_only": local_files_only}
        self.model = str(model)
        self.revision = revision
        self._config = config = read_config(self.model, file_reader(self.model, **hub))
        self.pooling = self._pooling(pooling)
        self.include_prompt = config.include_prompt if include_prompt is None else include_prompt
        self._set_prompts(prompts, default_prompt_name)
        self.device = network.choose_device(device)
        self.dtype = network.choose_dtype(dtype, self.device)
        self.metric = config.metric
        self._token_budget = token_budget or _TOKEN_BUDGET.get(
            self.device, _TOKEN_BUDGET_ACCELERATOR
        )
        net, self._tokenizer, settings = network.load_transformer(
            self.model, config.transformer_path, hub, {"trust_remote_code": trust_remote_code}
        )
        limit = network.length_limit(self._tokenizer, settings)
        self.max_seq_length = max_seq_length or config.max_seq_length or limit
        self._weights = network.weights_digest(net)
        self._network = net.to(self.device)
        self._steps, self.normalize = self._projection(config, normalize, hub)
        self._lock = threading.Lock()  # a fast tokenizer refuses concurrent use
        self._prompt_lengths: dict[str, int] = {}
        self.dim = 0
        self.truncate_dim: int | None = None
        full = self._encode_rows(["dimension"], "", lambda n: None).shape[1]
        self.truncate_dim = truncate_dim or config.truncate_dim
        if self.truncate_dim is not None and self.truncate_dim > full:
            raise ValueError(
                f"truncate_dim: got {self.truncate_dim}, expected at most {full}, the dimension "
                f"of {self.model!r}"
            )
        self.dim = int(self.truncate_dim or full)

    def encode(
        self,
        texts: str | Iterable[str],
        kind: Kind = "document",
        *,
        progress: Progress = None,
    ) -> NDArray[np.float32]:
        """Encode texts.

        Parameters
        ----------
        texts : str or iterable of str
            The texts. A single string gives a single vector.
        kind : {"document", "query"}
            Decides which of the model's prompts goes in front.
        progress : bool or callable, optional
            None draws a bar on a terminal when there are many texts; a callable receives
            ``(done, total)``.

        Returns
        -------
        ndarray of float32
            (n, dim) vectors in the order of `texts`, or (dim,) for a single string.

        Raises
        ------
        TypeError
            A text is not a string.
        ValueError
            `kind` is unknown, or a text is empty for a tokenizer that adds no special token.
        """
        if kind not in ("query", "document"):
            raise ValueError(f"kind: got {kind!r}, expected 'query' or 'document'")
        prompt = self._config.prompt_for(kind)
        if isinstance(texts, str):
            vector: NDArray[np.float32] = self._encode_rows([texts], prompt, lambda n: None)[0]
            return vector
        rows = check_texts(texts)
        if progress is None and len(rows) < 256:
            progress = False
        with bar(len(rows), "Encoding", "text", progress) as advance:
            return self._encode_rows(rows, prompt, advance)

    def prompt(self, kind: Kind) -> str:
        """Return the prompt that goes in front of a "query" or a "document"."""
        return self._config.prompt_for(kind)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the meaning of a vector, as plain JSON values.

        Two encoders with equal fingerprints give interchangeable vectors. "model" and "revision"
        say where it came from, "weights" is a digest of the parameters themselves.
        """
        return {
            "model": self.model,
            "revision": self.revision,
            "weights": self._weights,
            "pooling": list(self.pooling),
            "include_prompt": self.include_prompt,
            "normalize": self.normalize,
            "max_seq_length": self.max_seq_length,
            "truncate_dim": self.truncate_dim,
            "dim": self.dim,
            "query_prompt": self.prompt("query"),
            "document_prompt": self.prompt("document"),
        }

    @classmethod
    def from_fingerprint(
        cls, fingerprint: Mapping[str, Any], *, device: str | None = None, dtype: str = "float32"
    ) -> Encoder:
        """Make the encoder that a stored `fingerprint` describes."""
        return cls(
            fingerprint["model"],
            revision=fingerprint.get("revision"),
            pooling=tuple(fingerprint["pooling"]),
            include_prompt=fingerprint["include_prompt"],
            normalize=fingerprint["normalize"],
            max_seq_length=fingerprint["max_seq_length"],
            truncate_dim=fingerprint["truncate_dim"],
            prompts={
                "query": fingerprint["query_prompt"],
                "document": fingerprint["document_prompt"],
            },
            device=device,
            dtype=dtype,
        )

    def __repr__(self) -> str:
        return (
            f"Encoder({self.model!r}, dim={self.dim}, pooling={'+'.join(self.pooling)}, "
            f"normalize={self.normalize}, device={self.device!r}, dtype={self.dtype!r})"
        )

    def _pooling(self, pooling: str | Sequence[str] | None) -> tuple[str, ...]:
        if pooling is not None:
            return check_pooling(pooling)
        if not self._config.pooling:
            raise ValueError(
                f"model {self.model!r} does not say how its token vectors become one vector (no "
                "modules.json with a pooling module); pass pooling= one of "
                f"{', '.join(POOLING_MODES)}, as its model card says"
            )
        return self._config.pooling

    def _set_prompts(self, prompts: Mapping[str, str] | None, default_name: str | None) -> None:
        merged = {**self._config.prompts, **(prompts or {})}
        if prompts and "document" in prompts:
            # An explicit document prompt, even an empty one, outranks the model's other names.
            merged = {
                name: text for name, text in merged.items() if name not in ("passage", "corpus")
            }
        for name, text in merged.items():
            if not isinstance(text, str):
                raise TypeError(f"prompts[{name!r}]: got {type(text).__name__}, expected str")
        default = default_name if default_name is not None else self._config.default_prompt_name
        if default is not None and default not in merged:
            raise ValueError(
                f"default_prompt_name: got {default!r}, expected one of {sorted(merged)} (the "
                "model's prompts and those of prompts=)"
            )
        self._config = _replace(self._config, prompts=merged, default_prompt_name=default)

    def _projection(
        self, config: TextModelConfig, normalize: bool | None, hub: Mapping[str, Any]
    ) -> tuple[list[Callable[[Tensor], Tensor]], bool]:
        """Return the stages after pooling, and whether their result has length 1."""
        from torch.nn.functional import normalize as to_unit
        from transformers.utils import cached_file

        def path_of(name: str) -> str | None:
            found: str | None = cached_file(
                self.model, name, _raise_exceptions_for_missing_entries=False, **hub
            )
            return found

        stages: list[Callable[[Tensor], Tensor]] = []
        for step in config.steps:
            if step.kind == "dense":
                stages.append(network.load_dense(self.model, step, path_of))
            elif normalize is not False:
                stages.append(to_unit)
        ends_unit = bool(config.steps) and config.steps[-1].kind == "normalize"
        wanted = ends_unit if normalize is None else normalize
        return stages, wanted

    def _encode_rows(
        self, texts: Sequence[str], prompt: str, advance: Callable[[int], None]
    ) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        skip = self._prompt_length(prompt) if prompt and not self.include_prompt else 0
        for first in range(0, len(texts), _WINDOW):
            window = texts[first : first + _WINDOW]
            tokens = self._tokenize([prompt + text for text in window])
            lengths = [len(ids) for ids in tokens["input_ids"]]
            if 0 in lengths:
                raise ValueError(
                    f"texts[{first + lengths.index(0)}] has no tokens (it is empty and the "
                    "tokenizer adds no special token); leave it out or give it a prompt"
                )
            for rows in pack(lengths, self._token_budget):
                batch = self._forward(tokens, rows, skip)
                if not self.dim:  # the very first call, from the constructor
                    return batch
                vectors[np.asarray(rows) + first] = batch
                advance(len(rows))
        return vectors

    def _tokenize(self, texts: list[str]) -> dict[str, list[list[int]]]:
        if self._config.lower_case:
            texts = [text.lower() for text in texts]
        with self._lock:
            found = self._tokenizer(
                texts,
                truncation=self.max_seq_length is not None,
                max_length=self.max_seq_length,
                padding=False,
                return_attention_mask=False,
            )
        return {name: found[name] for name in ("input_ids", "token_type_ids") if name in found}

    def _prompt_length(self, prompt: str) -> int:
        """Count the tokens a prompt puts in front, the special ones at the end not among them."""
        if prompt not in self._prompt_lengths:
            ids = self._tokenize([prompt])["input_ids"][0]
            ends_special = bool(ids) and ids[-1] in self._tokenizer.all_special_ids
            self._prompt_lengths[prompt] = len(ids) - ends_special
        return self._prompt_lengths[prompt]

    def _forward(
        self, tokens: Mapping[str, Sequence[Sequence[int]]], rows: Sequence[int], skip: int
    ) -> NDArray[np.float32]:
        import torch

        pad_id = self._tokenizer.pad_token_id
        inputs = pad(tokens, rows, 0 if pad_id is None else pad_id, self.device)
        kind = self.device.split(":")[0]
        low = self.dtype == "bfloat16"
        with torch.inference_mode():
            with torch.autocast(kind, dtype=torch.bfloat16, enabled=low):
                hidden = self._network(**inputs).last_hidden_state
            x = pool(hidden, inputs["attention_mask"], self.pooling, skip)
            for stage in self._steps:
                x = stage(x)
            x = x[:, : self.truncate_dim]
            if self.normalize:
                x = torch.nn.functional.normalize(x)
            vectors: NDArray[np.float32] = x.float().cpu().numpy()
        return vectors


def check_texts(texts: Iterable[str], name: str = "texts") -> list[str]:
    """Return `texts` as a list, or raise TypeError naming the first that is not a string."""
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{name}: got {type(texts).__name__}, expected a list of strings")
    rows = list(texts)
    for at, text in enumerate(rows):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{at}]: got {type(text).__name__}, expected str")
    return rows


def _check_positive(**arguments: int | None) -> None:
    for name, value in arguments.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name}: got {value!r}, expected a positive integer")


def _replace(config: TextModelConfig, **changes: Any) -> TextModelConfig:
    import dataclasses

    return dataclasses.replace(config, **changes)

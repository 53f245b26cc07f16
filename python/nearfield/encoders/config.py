"""What a text-embedding model says about its own use.

Reads the configuration files that sentence-transformers stores next to a model (``modules.json``
and the files it names) into one `TextModelConfig`, for local folders and hub names alike. Old and
new spellings of every key are understood; a module that cannot be reproduced is an error, never
skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

__all__ = ["DOCUMENT_PROMPT_NAMES", "POOLING_MODES", "Step", "TextModelConfig", "read_config"]

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")

#: Prompt names that mean "document", in the order in which they are looked up.
DOCUMENT_PROMPT_NAMES = ("document", "passage", "corpus")

_LEGACY_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

_TRANSFORMER_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)

_SIMILARITY_METRICS = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}

#: Returns the parsed JSON of a file of the model, or None when the model has no such file.
JsonReader = Callable[[str], Any]


@dataclass(frozen=True)
class Step:
    """One stage after pooling: ``kind`` is "dense" or "normalize"."""

    kind: str
    path: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TextModelConfig:
    """How a model turns texts into vectors.

    Attributes
    ----------
    pooling : tuple of str
        Pooling modes, concatenated in this order; empty when the model does not say.
    include_prompt : bool
        Whether prompt tokens take part in the pooling.
    steps : tuple of Step
        Stages after pooling, in order.
    prompts : mapping
        Prompt texts by name.
    default_prompt_name : str or None
        The prompt for a kind of text that has none of its own.
    max_seq_length, truncate_dim : int or None
        Token limit and Matryoshka dimension where the model names them.
    lower_case : bool
        Whether texts are lower-cased before they reach the tokenizer.
    metric : str
        "cosine", "ip" or "l2": the similarity the model was trained for.
    transformer_path : str
        Folder of the transformer inside the model.
    """

    pooling: tuple[str, ...] = ()
    include_prompt: bool = True
    steps: tuple[Step, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    max_seq_length: int | None = None
    truncate_dim: int | None = None
    lower_case: bool = False
    metric: str = "cosine"
    transformer_path: str = ""

    def prompt_for(self, kind: str) -> str:
        """Return the text that goes in front of a "query" or a "document"."""
        names = ("query",) if kind == "query" else DOCUMENT_PROMPT_NAMES
        known = [name for name in names if name in self.prompts]
        # An empty "document" entry is written by default; a filled "passage" beside it is meant.
        for name in known:
            if self.prompts[name]:
                return self.prompts[name]
        if known or self.default_prompt_name is None:
            return ""
        return self.prompts[self.default_prompt_name]


def check_pooling(pooling: str | Iterable[str]) -> tuple[str, ...]:
    """Return `pooling` as a tuple of known modes, or raise ValueError naming the known ones."""
    modes = (pooling,) if isinstance(pooling, str) else tuple(pooling)
    unknown = [mode for mode in modes if mode not in POOLING_MODES]
    if unknown or not modes:
        got = ", ".join(repr(mode) for mode in unknown) or "an empty sequence"
        raise ValueError(
            f"pooling: got {got}, expected one of {', '.join(POOLING_MODES)}, or a tuple of them"
        )
    return modes


def read_config(model: str, read_json: JsonReader) -> TextModelConfig:
    """Read the configuration of `model`.

    Parameters
    ----------
    model : str
        Name used in error messages.
    read_json : callable
        Maps a file name inside the model to its parsed JSON, or None where there is no such file.

    Returns
    -------
    TextModelConfig
        With an empty ``pooling`` when the model carries no sentence-transformers configuration.

    Raises
    ------
    FileNotFoundError
        There is no such model, or it cannot be fetched.
    ValueError
        A module, pooling mode or prompt name that cannot be reproduced.
    """
    general = read_json("config_sentence_transformers.json") or {}
    prompts, default_name = _read_prompts(model, general)
    modules = read_json("modules.json")
    if modules is None and read_json("config.json") is None:
        raise FileNotFoundError(
            f"model {model!r}: no such model folder, and no model of this name could be fetched; "
            "check the name, and the network or HF_HUB_OFFLINE"
        )
    pooling: tuple[str, ...] = ()
    include_prompt = True
    steps: list[Step] = []
    transformer_path = ""
    for module in modules or ():
        kind, path = _module_kind(module["type"]), module.get("path", "")
        if kind == "Transformer":
            transformer_path = path
        elif kind == "Pooling":
            settings = read_json(_join(path, "config.json")) or {}
            pooling = _read_pooling(model, settings)
            include_prompt = bool(settings.get("include_prompt", True))
        elif kind == "Normalize":
            steps.append(Step("normalize"))
        elif kind == "Dense":
            steps.append(Step("dense", path, _read_dense(model, read_json, path)))
        elif kind != "Dropout":  # a no-op outside training
            raise ValueError(
                f"model {model!r} has a module of type {module['type']!r}, which Encoder cannot "
                "reproduce (it knows Transformer, Pooling, Dense, Normalize, Dropout); encode "
                "with sentence-transformers and add the vectors to an index instead"
            )
    settings = _first(read_json, transformer_path, _TRANSFORMER_SETTINGS)
    return TextModelConfig(
        pooling=pooling,
        include_prompt=include_prompt,
        steps=tuple(steps),
        prompts=prompts,
        default_prompt_name=default_name,
        max_seq_length=settings.get("max_seq_length"),
        truncate_dim=general.get("truncate_dim"),
        lower_case=bool(settings.get("do_lower_case", False)),
        metric=_SIMILARITY_METRICS.get(general.get("similarity_fn_name") or "cosine", "cosine"),
        transformer_path=transformer_path,
    )


def file_reader(model: str, **hub_options: Any) -> JsonReader:
    """Return a `JsonReader` for a local folder or a hub name."""
    from transformers.utils import cached_file

    def read_json(name: str) -> Any:
        found = cached_file(
            model,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            **hub_options,
        )
        if found is None:
            return None
        with open(found, encoding="utf-8") as file:
            return json.load(file)

    return read_json


def _join(folder: str, name: str) -> str:
    return str(PurePosixPath(folder) / name)


def _first(read_json: JsonReader, folder: str, names: Iterable[str]) -> dict[str, Any]:
    for name in names:
        settings = read_json(_join(folder, name))
        if settings is not None:
            return dict(settings)
    return {}


def _module_kind(type_name: str) -> str:
    """Return the class name of a sentence-transformers module, the full name of a foreign one."""
    if type_name.startswith("sentence_transformers."):
        return type_name.rsplit(".", 1)[-1]
    return type_name


def _read_pooling(model: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    if "pooling_mode" in settings:
        return check_pooling(settings["pooling_mode"])
    modes = tuple(mode for key, mode in _LEGACY_POOLING_KEYS.items() if settings.get(key))
    if not modes:
        raise ValueError(
            f"model {model!r} has a pooling module that names no mode; pass pooling= one of "
            f"{', '.join(POOLING_MODES)}"
        )
    return modes


def _read_dense(model: str, read_json: JsonReader, path: str) -> dict[str, Any]:
    settings = read_json(_join(path, "config.json"))
    if settings is None:
        raise ValueError(f"model {model!r} names a dense layer but lacks {path}/config.json")
    source = settings.get("module_input_name", "sentence_embedding")
    target = settings.get("module_output_name") or source
    if (source, target) != ("sentence_embedding", "sentence_embedding"):
        raise ValueError(
            f"model {model!r} has a dense layer from {source!r} to {target!r}; Encoder applies "
            "dense layers to the pooled 'sentence_embedding' only"
        )
    return dict(settings)


def _read_prompts(model: str, general: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
    prompts = {str(name): str(text) for name, text in (general.get("prompts") or {}).items()}
    default_name = general.get("default_prompt_name")
    if default_name is not None and default_name not in prompts:
        raise ValueError(
            f"model {model!r} names the default prompt {default_name!r} but has only "
            f"{sorted(prompts)}; pass prompts= with that name"
        )
    return prompts, default_name

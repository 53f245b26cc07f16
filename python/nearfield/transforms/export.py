"""Transforms as stock modules of sentence-transformers: :meth:`Transform.to_sentence_transformers`.

What is linear becomes a ``Dense`` with the identity as activation, its matrix folded in float64;
unit length becomes ``Normalize``. Both are plain classes of the library, so the result loads
without trusting code of anybody. One side only needs a ``Router``: documents go through the base
model, queries through the same modules and the new ones.

The folder is written beside the target and renamed, so that a call that fails leaves none.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..arguments import as_path, choose
from ..arrays import as_floats
from ..durable import sync_folder, write_durably
from .base import Transform
from .chain import Chain, Normalize
from .linear import Affine, Diagonal, LowRank
from .sentence_transformers import Module, read_modules
from .tensors import read_dim, read_json, read_list, require_safetensors, to_bytes

__all__ = ["to_sentence_transformers"]

# Names that every version from 3 on knows, renamed modules or not.
_PACKAGE = "sentence_transformers.models."
_IDENTITY = "torch.nn.modules.linear.Identity"
_PASSAGE = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}


def to_sentence_transformers(
    transform: Transform,
    folder: str | os.PathLike[str],
    base: str | os.PathLike[str] | None,
    side: Literal["query", "both"],
) -> None:
    """Write `transform` as modules, see :meth:`Transform.to_sentence_transformers`."""
    require_safetensors()
    choose(side, ("query", "both"), name="side")
    target = as_path(folder, name="folder")
    modules = _stock_modules(transform)
    if os.path.lexists(target) and not (os.path.isdir(target) and not os.listdir(target)):
        raise FileExistsError(f"folder: {target} is there already; name a new one, or remove it")
    parent = os.path.dirname(os.path.abspath(target))
    fresh = os.path.join(parent, f".{secrets.token_hex(8)}.partial")
    try:
        os.makedirs(fresh)
        if base is None:
            _write_modules(fresh, modules)
        elif side == "both":
            _write_model(fresh, modules, as_path(base, name="base"))
        else:
            _write_router(fresh, modules, as_path(base, name="base"))
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(target)
        os.rename(fresh, target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    sync_folder(parent)


_Layer = tuple[NDArray[np.float32], NDArray[np.float32] | None]


def _stock_modules(transform: Transform) -> list[_Layer | None]:
    """Return matrix and bias of every Dense in order; None stands for Normalize."""
    if isinstance(transform, Chain):
        return [module for part in transform.transforms for module in _stock_modules(part)]
    if isinstance(transform, Normalize):
        return [None]
    if isinstance(transform, Affine):
        return [(transform.w, transform.b)]
    if isinstance(transform, Diagonal):
        return [(np.diag(transform.w), None)]
    if isinstance(transform, LowRank):
        residual = transform.b.astype(np.float64) @ transform.a
        folded = np.eye(len(residual)) + transform.scale * residual
        return [(as_floats(folded, name="LowRank", ndim=2), transform.bias)]
    raise ValueError(
        f"got a {type(transform).__name__}, which no stock module of sentence-transformers "
        "expresses, expected Affine, LowRank, Diagonal, Normalize or a Chain of these; "
        "save() writes every transform"
    )


def _write_modules(folder: str, modules: Sequence[_Layer | None]) -> None:
    names = _written(folder, "", 0, modules)
    _write_json(os.path.join(folder, "modules.json"), _listed(names))


def _write_model(folder: str, modules: Sequence[_Layer | None], base: str) -> None:
    """Write the base model with the modules after its own."""
    listed = _checked_base(base, modules)
    shutil.copytree(base, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    names = _written(folder, "", len(listed), modules)
    _write_json(os.path.join(folder, "modules.json"), listed + _listed(names, len(listed)))


def _write_router(folder: str, modules: Sequence[_Layer | None], base: str) -> None:
    """Write a model of one Router; both of its routes share the modules of the base model."""
    listed = _checked_base(base, modules)
    shared: dict[str, str] = {}
    for i, entry in enumerate(listed):
        name = f"document_{i}_{str(entry['type']).rsplit('.', 1)[-1]}"
        shared[name] = entry["type"]
        _copy_module(os.path.join(base, entry.get("path", "")), base, os.path.join(folder, name))
    added = _written(folder, "query_", len(listed), modules)
    parameters = {"default_route": "document", "allow_empty_key": True}
    router = {
        "types": shared | added,
        "structure": {"query": [*shared, *added], "document": [*shared]},
        "parameters": parameters,
    }
    _write_json(os.path.join(folder, "router_config.json"), router)
    entry = {"idx": 0, "name": "0", "path": "", "type": f"{_PACKAGE}Router"}
    _write_json(os.path.join(folder, "modules.json"), [entry])
    general = os.path.join(base, "config_sentence_transformers.json")
    if os.path.exists(general):
        shutil.copy(general, folder)


def _checked_base(base: str, modules: Sequence[_Layer | None]) -> list[dict[str, Any]]:
    """Return the modules of the base model, if the new ones can follow them."""
    path = os.path.join(base, "modules.json")
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"base: {base} has no modules.json, expected the folder of a sentence-transformers "
            "model; SentenceTransformer(name).save(folder) makes one"
        )
    listed = read_list(path)
    types = [entry.get("type") for entry in listed]
    foreign = [
        t for t in types if not (isinstance(t, str) and t.startswith("sentence_transformers."))
    ]
    if foreign or any(str(t).endswith(".Router") for t in types):
        got = f"{foreign[0]!r:.80}, code of its own" if foreign else "a Router"
        raise ValueError(f"base: {base} has {got}, expected the library's modules one by one")
    given = _dim_of(read_modules(base, "query"))
    taken = next((layer[0].shape[1] for layer in modules if layer is not None), given)
    if given not in (None, taken):
        raise ValueError(f"base: {base} makes {given} dimensions, but the transform takes {taken}")
    return listed


def _dim_of(modules: Sequence[Module]) -> int | None:
    """Return the dimensions that a model's vectors have, None where its files do not say."""
    for module in reversed(modules):
        settings = os.path.join(module.folder, "config.json")
        if module.kind == "Dense":
            return read_dim(read_json(settings), "out_features", settings)
        if module.kind == "Pooling":
            config = read_json(settings)
            modes = [key for key, value in config.items() if "mode" in key and value is True]
            named = {"word_embedding_dimension", "embedding_dimension"} & config.keys()
            is_single = len(modes) == 1 or isinstance(config.get("pooling_mode"), str)
            return read_dim(config, named.pop(), settings) if named and is_single else None
    return None


def _copy_module(source: str, base: str, target: str) -> None:
    """Copy the files of a module; of one in the model's own folder not those of the others."""
    os.makedirs(target)
    if not os.path.isdir(source):
        return  # modules without files of their own, such as Normalize, need no folder
    in_root = os.path.realpath(source) == os.path.realpath(base)
    kept_out = ("modules.json", "config_sentence_transformers.json", "README.md")
    for entry in os.scandir(source):
        if entry.is_file() and not entry.name.startswith("."):
            if not (in_root and entry.name in kept_out):
                shutil.copy(entry.path, target)
        elif entry.is_dir() and not in_root:
            shutil.copytree(entry.path, os.path.join(target, entry.name))


def _written(
    folder: str, prefix: str, first: int, modules: Sequence[_Layer | None]
) -> dict[str, str]:
    """Write modules into folders of their own; return the class of each by its folder's name."""
    written: dict[str, str] = {}
    for i, layer in enumerate(modules, first):
        kind = "Normalize" if layer is None else "Dense"
        name = f"{prefix}{i}_{kind}"
        os.makedirs(os.path.join(folder, name))
        settings = os.path.join(folder, name, "config.json")
        if layer is None:
            _write_json(settings, _PASSAGE)
        else:
            _write_json(settings, _dense_config(*layer))
            tensors = {"linear.weight": layer[0]}
            if layer[1] is not None:
                tensors["linear.bias"] = layer[1]
            weights = to_bytes(tensors, {"format": "pt"})
            write_durably(os.path.join(folder, name, "model.safetensors"), [weights])
        written[name] = _PACKAGE + kind
    return written


def _dense_config(w: NDArray[np.float32], b: NDArray[np.float32] | None) -> dict[str, Any]:
    return {
        "in_features": w.shape[1],
        "out_features": w.shape[0],
        "bias": b is not None,
        "activation_function": _IDENTITY,
    }


def _listed(names: dict[str, str], first: int = 0) -> list[dict[str, Any]]:
    return [
        {"idx": i, "name": str(i), "path": name, "type": kind}
        for i, (name, kind) in enumerate(names.items(), first)
    ]


def _write_json(path: str, value: Any) -> None:
    write_durably(path, [json.dumps(value, indent=2).encode() + b"\n"])

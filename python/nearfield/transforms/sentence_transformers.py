"""Modules of sentence-transformers as transforms: :func:`from_sentence_transformers`.

``Dense`` is ``act(W x + b)``, with use_residual plus ``x`` or ``R x``; ``Normalize`` makes unit
length. A model lists its modules in ``modules.json``, a ``Router`` those of each kind of text.

Source: sentence-transformers, ``Dense``, ``Normalize`` and ``Router``, from version 3 on.
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from ..arguments import as_path
from ..errors import CorruptFileError
from .activation import Activation
from .base import Transform
from .chain import Chain, Normalize
from .linear import Affine
from .residual_mlp import ResidualMLP
from .tensors import Tensors, check_shapes, read_dim, read_json, read_list, read_safetensors
from .tensors import read_torch as read_state

__all__ = ["Module", "from_sentence_transformers", "read_modules"]

_ACTIVATIONS = {
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Identity": None,
}
_DEFAULT = "torch.nn.modules.activation.Tanh"  # of a Dense that names none


class Module(NamedTuple):
    """A module of a model: its class, without the package it is from, and its folder."""

    kind: str
    folder: str


def from_sentence_transformers(path: str | os.PathLike[str], route: str = "query") -> Transform:
    """Read the ``Dense`` and ``Normalize`` modules of a sentence-transformers model.

    Parameters
    ----------
    path : path-like
        The folder of a ``Dense`` module, such as ``model/2_Dense``, or that of a whole model: then
        what comes after pooling is read.
    route : str, default "query"
        Whose modules, where the model has a ``Router``.

    Returns
    -------
    Affine, ResidualMLP, Normalize or Chain
        What maps pooled vectors to the model's. A ``Dense`` with Identity as its activation is an
        :class:`Affine`; with ReLU, LeakyReLU, Sigmoid or Tanh it is followed by an
        :class:`Activation`, or with a residual is a :class:`ResidualMLP`.

    Raises
    ------
    CorruptFileError
        A configuration that is none, or tensors that are missing, left over, of wrong shapes or
        types, or hold NaN.
    ValueError
        A module or an activation that no transform expresses; nothing to read after pooling.
    OSError
        A file cannot be read.
    ImportError
        safetensors, or for ``pytorch_model.bin`` torch, is not installed.

    Notes
    -----
    No code of the model is run. The vectors it maps are those of the pooling module: those of an
    index that was filled by the whole model have been mapped already.

    Examples
    --------
    >>> import nearfield as nf
    >>> dense = nf.transforms.from_sentence_transformers("model/2_Dense")  # doctest: +SKIP
    """
    folder = as_path(path, name="path")
    if not os.path.exists(os.path.join(folder, "modules.json")):
        return _dense(folder)
    modules = read_modules(folder, route)
    poolings = [i for i, module in enumerate(modules) if module.kind == "Pooling"]
    after = modules[poolings[-1] + 1 :] if poolings else modules
    parts = [_transform(module, folder) for module in after if module.kind != "Dropout"]
    if not parts:
        raise ValueError(f"{folder}: no Dense or Normalize comes after pooling, nothing to read")
    return parts[0] if len(parts) == 1 else Chain(parts)


def read_modules(folder: str, route: str) -> list[Module]:
    """Return the modules of a model in order, those of one route where it has a Router."""
    listed = read_list(os.path.join(folder, "modules.json"))
    modules: list[Module] = []
    for entry in listed:
        module = _module(folder, entry.get("type"), entry.get("path", ""))
        modules += _routed(module, route) if module.kind == "Router" else [module]
    return modules


def _module(folder: str, type_name: Any, path: Any) -> Module:
    is_inside = isinstance(path, str) and "\0" not in path and "\\" not in path
    inside = PurePosixPath(path) if is_inside else PurePosixPath("/")
    if not isinstance(type_name, str) or inside.is_absolute() or ".." in inside.parts:
        raise CorruptFileError(
            f"{folder}: got a module of type {type_name!r:.80} in {path!r:.80}, expected the name "
            "of a class and a folder inside the model"
        )
    ours = type_name.startswith("sentence_transformers.")
    return Module(type_name.rsplit(".", 1)[-1] if ours else type_name, os.path.join(folder, path))


def _routed(router: Module, route: str) -> list[Module]:
    """Return the modules that a Router applies to one kind of text."""
    settings = os.path.join(router.folder, "router_config.json")
    config = read_json(settings)
    types, structure = config.get("types"), config.get("structure")
    if not isinstance(types, dict) or not isinstance(structure, dict):
        raise CorruptFileError(f"{settings}: expected objects called types and structure")
    names = structure.get(route)
    if not isinstance(names, list):
        raise ValueError(f"route: got {route!r}, expected one of {sorted(structure)} ({settings})")
    return [
        _module(router.folder, types.get(name) if isinstance(name, str) else None, name)
        for name in names
    ]


def _transform(module: Module, model: str) -> Transform:
    if module.kind == "Dense":
        return _dense(module.folder)
    if module.kind != "Normalize":
        raise ValueError(
            f"{model}: a {module.kind} comes after pooling, which no transform expresses, expected "
            "Dense, Normalize and Dropout; encode with sentence-transformers instead"
        )
    settings = os.path.join(module.folder, "config.json")
    if os.path.exists(settings):
        _check_source(read_json(settings), settings)
    return Normalize()


def _dense(folder: str) -> Transform:
    settings = os.path.join(folder, "config.json")
    config = read_json(settings)
    taken, given = (read_dim(config, key, settings) for key in ("in_features", "out_features"))
    _check_source(config, settings)
    name = _activation(config.get("activation_function") or _DEFAULT, settings)
    has_residual = bool(config.get("use_residual", False))
    tensors, weights = _weights(folder)
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (given, taken)}
    if config.get("bias", True):
        shapes["linear.bias"] = (given,)
    if has_residual and taken != given:
        shapes["residual.weight"] = (given, taken)
    check_shapes(tensors, shapes, weights)
    w, b = tensors["linear.weight"], tensors.get("linear.bias")
    if name is None:
        return Affine(_with_residual(w, tensors) if has_residual else w, b)
    if not has_residual:
        return Chain([Affine(w, b), Activation(name)])
    if taken != given:
        raise ValueError(
            f"{settings}: no transform expresses an activation beside a residual from {taken} to "
            f"{given} dimensions; encode with sentence-transformers instead"
        )
    return ResidualMLP(w, b, np.eye(given, dtype=np.float32), activation=name)


def _with_residual(w: np.ndarray[Any, Any], tensors: Tensors) -> np.ndarray[Any, Any]:
    bridge = tensors.get("residual.weight", np.eye(len(w), dtype=np.float32))
    return w.astype(np.float64) + bridge


def _check_source(config: dict[str, Any], settings: str) -> None:
    source = config.get("module_input_name", "sentence_embedding")
    target = config.get("module_output_name") or source
    if (source, target) != ("sentence_embedding", "sentence_embedding"):
        raise ValueError(
            f"{settings}: maps {source!r:.80} to {target!r:.80}; transforms map the pooled "
            "'sentence_embedding' only"
        )


def _activation(name: Any, settings: str) -> str | None:
    """Return our name of an activation, None for the identity."""
    parts = name.split(".") if isinstance(name, str) else []
    if parts[:2] != ["torch", "nn"] or parts[-1] not in _ACTIVATIONS:
        raise ValueError(
            f"{settings}: no transform expresses the activation {name!r:.80}, expected one of "
            f"{', '.join(_ACTIVATIONS)} of torch.nn; encode with sentence-transformers instead"
        )
    return _ACTIVATIONS[parts[-1]]


def _weights(folder: str) -> tuple[Tensors, str]:
    """Return the tensors of a module, and the file they are from."""
    path = os.path.join(folder, "model.safetensors")
    if os.path.exists(path):
        with open(path, "rb") as file:
            return read_safetensors(file, path), path
    path = os.path.join(folder, "pytorch_model.bin")
    return read_state(path), path

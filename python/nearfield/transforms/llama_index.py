"""Adapters that LlamaIndex has trained: :func:`from_llama_index`.

A folder holds ``config.json`` and a state dict, ``pytorch_model.bin``. Two classes write such
folders; they are told apart by what their configuration names::

    LinearLayer   W x (+ b)
    TwoLayerNN    W2 act(W1 x + b1) + b2, with add_residual r (W2 act(W1 x + b1) + b2) + x

Source: llama-index-embeddings-adapter, ``utils.py``.
"""

from __future__ import annotations

import os
from typing import Any

from ..arguments import as_path
from ..errors import CorruptFileError
from .activation import Activation
from .base import Transform
from .chain import Chain
from .linear import Affine
from .residual_mlp import ResidualMLP
from .tensors import Tensors, check_shapes, read_dim, read_json, read_torch

__all__ = ["from_llama_index"]

_LINEAR = {"in_features", "out_features", "bias"}
_TWO_LAYERS = _LINEAR | {"hidden_features", "activation_fn_str", "add_residual"}


def from_llama_index(path: str | os.PathLike[str]) -> Transform:
    """Read an adapter that LlamaIndex's ``EmbeddingAdapterFinetuneEngine`` has trained.

    Parameters
    ----------
    path : path-like
        The folder, with ``config.json`` and ``pytorch_model.bin``, of a ``LinearLayer`` or a
        ``TwoLayerNN``. Neither normalises its output.

    Returns
    -------
    Affine, ResidualMLP or Chain
        A ``TwoLayerNN`` without `add_residual` becomes a chain of two affine maps with the
        activation between them.

    Raises
    ------
    CorruptFileError
        The configuration is of neither class, or tensors are missing, left over, of wrong shapes
        or types, or hold NaN.
    OSError
        A file cannot be read.
    ImportError
        torch, which the weights were written by, is not installed.

    Notes
    -----
    Weights are read without running code from the file (``torch.load(..., weights_only=True)``).

    Examples
    --------
    >>> import nearfield as nf
    >>> adapter = nf.transforms.from_llama_index("adapter")  # doctest: +SKIP
    """
    folder = as_path(path, name="path")
    settings = os.path.join(folder, "config.json")
    config = read_json(settings)
    if not config.keys() >= {"in_features", "out_features"} or not config.keys() <= _TWO_LAYERS:
        raise CorruptFileError(
            f"{settings}: got the keys {sorted(config)}, expected those of LlamaIndex's "
            f"LinearLayer, {sorted(_LINEAR)}, or TwoLayerNN, {sorted(_TWO_LAYERS)}"
        )
    state = os.path.join(folder, "pytorch_model.bin")
    tensors = read_torch(state)
    if "hidden_features" in config:
        return _two_layers(config, tensors, settings, state)
    return _linear(config, tensors, settings, state)


def _linear(config: dict[str, Any], tensors: Tensors, settings: str, state: str) -> Transform:
    taken, given = (read_dim(config, key, settings) for key in ("in_features", "out_features"))
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (given, taken)}
    if config.get("bias", False):
        shapes["linear.bias"] = (given,)
    check_shapes(tensors, shapes, state)
    return Affine(tensors["linear.weight"], tensors.get("linear.bias"))


def _two_layers(config: dict[str, Any], tensors: Tensors, settings: str, state: str) -> Transform:
    taken, hidden, given = (
        read_dim(config, key, settings)
        for key in ("in_features", "hidden_features", "out_features")
    )
    shapes = {
        "linear1.weight": (hidden, taken),
        "linear1.bias": (hidden,),  # always there, whatever the configuration calls bias
        "linear2.weight": (given, hidden),
        "linear2.bias": (given,),
        "residual_weight": (1,),
    }
    check_shapes(tensors, shapes, state)
    w1, b1 = tensors["linear1.weight"], tensors["linear1.bias"]
    w2, b2 = tensors["linear2.weight"], tensors["linear2.bias"]
    try:
        activation = Activation(config.get("activation_fn_str", "relu"))
        if not config.get("add_residual", False):
            return Chain([Affine(w1, b1), activation, Affine(w2, b2)])
        gate = float(tensors["residual_weight"][0])
        return ResidualMLP(w1, b1, w2, b2, gate=gate, activation=activation.activation)
    except (TypeError, ValueError) as error:
        raise CorruptFileError(f"{settings}: {error!s:.400}") from None

"""Transforms: maps on query vectors that a search applies on its way.

Adapters fit one index to many tasks: each has a few parameters, none touches the index.
``KeyValue`` is what Adapted Dense Retrieval does, ``LowRank`` and ``Affine`` are linear,
``ResidualMLP`` has a hidden layer, ``Diagonal`` weighs dimensions, ``Chain`` applies several.
``LexicalModulation`` weighs the dimensions of a query by its tokens, as LexSemBridge does.

Examples
--------
>>> import numpy as np, nearfield as nf
>>> index = nf.FlatIndex(2, metric="cosine")
>>> index.add(np.float32([[1, 0], [0, 1]]))
>>> swap = nf.transforms.Affine([[0, 1], [1, 0]])
>>> index.search(np.float32([1, 0.1]), k=1, transform=swap).ids
array([1])
"""

from .activation import Activation
from .base import Transform
from .by_row import apply
from .chain import Chain, Normalize
from .files import load
from .key_value import KeyValue
from .lexical import LexicalModulation
from .linear import Affine, Diagonal, LowRank
from .llama_index import from_llama_index
from .residual_mlp import ResidualMLP
from .sentence_transformers import from_sentence_transformers
from .tokens import Tokens

__all__ = [
    "Activation",
    "Affine",
    "Chain",
    "Diagonal",
    "KeyValue",
    "LexicalModulation",
    "LowRank",
    "Normalize",
    "ResidualMLP",
    "Tokens",
    "Transform",
    "apply",
    "from_llama_index",
    "from_sentence_transformers",
    "load",
]

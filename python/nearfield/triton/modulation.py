"""Lexical modulation on the GPU: weights of tokens, then one program a row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..transforms.tokens import Tokens
from .launching import packages

if TYPE_CHECKING:
    from .adapters import Adapters

__all__ = ["modulated"]


def modulated(rows: Any, adapters: Adapters, tokens: Any, out: Any) -> None:
    """Write modulated rows."""
    torch, triton = packages()
    from .kernels.adapt import modulate

    modulation = adapters.modulation
    check_tokens(modulation, tokens, len(rows))
    ids = torch.tensor(tokens.ids, device=rows.device)
    offsets = torch.tensor(tokens.offsets, device=rows.device)
    ids, weights = token_weights(modulation, tokens, ids, offsets)
    if len(rows):
        modulate[(len(rows),)](
            rows, ids, weights, offsets, adapters.matrix,
            adapters.matrix if adapters.bias is None else adapters.bias, out, rows.shape[1],
            BIASED=adapters.bias is not None, NORMALIZE=modulation.normalize,
            BD=triton.next_power_of_2(rows.shape[1]), num_warps=8,
        )  # fmt: skip


def check_tokens(modulation: Any, tokens: Any, n: int) -> None:
    """Refuse tokens that do not fit the rows, the vocabulary or the mode."""
    if not isinstance(tokens, Tokens):
        got = type(tokens).__name__
        raise TypeError(f"tokens: got a {got}, expected nearfield.Tokens for a modulation")
    if len(tokens) != n:
        raise ValueError(f"tokens: got {len(tokens)} rows for {n} vectors")
    if tokens.ids.size and int(tokens.ids.max()) >= modulation.vocab:
        raise ValueError(
            f"tokens: got id {int(tokens.ids.max())}, expected less than {modulation.vocab}, the "
            "rows of weight"
        )
    if (modulation.mode == "slr") != (tokens.weights is None):
        got = "no weights" if tokens.weights is None else "weights"
        raise ValueError(f"tokens: got {got} for mode {modulation.mode!r}")


def token_weights(modulation: Any, tokens: Tokens, ids: Any, offsets: Any) -> tuple[Any, Any]:
    """Return ids sorted within their rows, and weights: 0 but for the largest of equal ids."""
    torch, _ = packages()
    if tokens.weights is None:
        constant = modulation.scale if modulation.form == "code" else math.log(2)
        weights = torch.full(ids.shape, constant, dtype=torch.float32, device=ids.device)
    else:
        given = torch.tensor(tokens.weights, device=ids.device).clamp(min=0)
        weights = given.log1p() if takes_logits(modulation) else given
    row = torch.searchsorted(offsets, torch.arange(len(ids), device=ids.device), right=True)
    order = weights.argsort(stable=True)
    key = row * modulation.vocab + ids
    order = order[key[order].argsort(stable=True)]
    ids, weights, key = ids[order], weights[order], key[order]
    special = torch.tensor(modulation.special_ids, dtype=torch.int64, device=ids.device)
    last = torch.ones_like(key, dtype=torch.bool)
    last[:-1] = key[1:] != key[:-1]
    return ids, torch.where(last & ~torch.isin(ids, special), weights, 0.0)


def takes_logits(modulation: Any) -> bool:
    """Tell whether weights are logits, of which the logarithm is taken."""
    return modulation.mode == "clr" or (modulation.mode, modulation.form) == ("llr", "paper")

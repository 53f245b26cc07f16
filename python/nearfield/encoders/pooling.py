"""From token vectors to one vector per text.

Every mode looks at the attention mask, so the answer does not depend on how much padding a batch
needed nor on its side. Shapes: tokens (batch, length, hidden), mask (batch, length), result
(batch, hidden * number of modes). Sums run in float32 whatever the model computes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["pool", "without_prompt"]


def pool(tokens: Tensor, attention: Tensor, modes: Sequence[str], prompt_length: int = 0) -> Tensor:
    """Pool token vectors.

    Parameters
    ----------
    tokens : Tensor
        (batch, length, hidden) token vectors.
    attention : Tensor
        (batch, length), 1 for real tokens and 0 for padding on either side.
    modes : sequence of str
        Pooling modes, concatenated in this order.
    prompt_length : int
        Leading tokens of each text that take no part; 0 to count them all.

    Returns
    -------
    Tensor
        (batch, hidden * len(modes)) float32.
    """
    import torch

    tokens = tokens.float()
    mask = without_prompt(attention, prompt_length) if prompt_length else attention
    return torch.cat([_pool_one(tokens, mask, attention, mode) for mode in modes], dim=1)


def without_prompt(attention: Tensor, prompt_length: int) -> Tensor:
    """Return the mask with the first `prompt_length` real tokens of each row cleared."""
    return attention * (attention.cumsum(dim=1) > prompt_length).to(attention.dtype)


def _pool_one(tokens: Tensor, mask: Tensor, attention: Tensor, mode: str) -> Tensor:
    import torch

    weights = mask.to(tokens.dtype)
    if mode == "max":
        return tokens.masked_fill(mask.unsqueeze(-1) == 0, -torch.inf).amax(dim=1)
    if mode == "cls":
        return _pick(tokens, mask.int().argmax(dim=1))
    if mode == "lasttoken":
        # The last *attended* token: position -1 is padding in every shorter text of a batch.
        return _pick(tokens, mask.shape[1] - 1 - mask.int().flip(1).argmax(dim=1))
    if mode == "weightedmean":
        # Positions count from the first real token, prompt included: 1, 2, 3, ...
        weights = weights * attention.cumsum(dim=1).to(tokens.dtype)
    total = torch.einsum("btd,bt->bd", tokens, weights)
    count = weights.sum(dim=1, keepdim=True).clamp(min=1e-9)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)


def _pick(tokens: Tensor, positions: Tensor) -> Tensor:
    index = positions.view(-1, 1, 1).expand(-1, 1, tokens.shape[-1])
    return tokens.gather(1, index).squeeze(1)

"""Packing texts of different lengths into padded batches that waste little work.

Texts are sorted by token count and cut where count times the longest would pass a token budget, so
short texts travel in large batches and long ones in small batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["pack", "pad"]


def pack(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group row numbers into batches of similar length.

    Parameters
    ----------
    lengths : sequence of int
        Token count of each row.
    token_budget : int
        Largest padded size of a batch; a single row longer than it is a batch of its own.

    Returns
    -------
    list of list of int
        Row numbers, the longest batch first, so that memory peaks (and fails) at the start.
    """
    batches: list[list[int]] = []
    limit = 0
    for row in np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable").tolist():
        if not batches or len(batches[-1]) >= limit:
            batches.append([])
            limit = max(1, token_budget // max(1, lengths[row]))
        batches[-1].append(row)
    return batches


def pad(
    tokens: Mapping[str, Sequence[Sequence[int]]], rows: Sequence[int], pad_id: int, device: str
) -> dict[str, Tensor]:
    """Build the model inputs of one batch.

    Padding goes to the right whatever side the tokenizer prefers: real tokens then keep positions
    0, 1, 2, ... in every model, and a vector does not depend on the company of its text.

    Parameters
    ----------
    tokens : mapping
        Tokenizer outputs by name ("input_ids", perhaps "token_type_ids"), one list per text.
    rows : sequence of int
        Texts of the batch.
    pad_id : int
        Token that fills "input_ids".
    device : str
        Where the tensors go.

    Returns
    -------
    dict of str to Tensor
        (batch, longest) int64 tensors, "attention_mask" among them.
    """
    import torch

    lengths = np.asarray([len(tokens["input_ids"][row]) for row in rows])
    shape = (len(rows), int(lengths.max()))
    inputs = {"attention_mask": (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)}
    for name, lists in tokens.items():
        filled = np.full(shape, pad_id if name == "input_ids" else 0, dtype=np.int64)
        for at, row in enumerate(rows):
            filled[at, : lengths[at]] = lists[row]
        inputs[name] = filled
    return {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}

"""The pooling function itself, under padding on both sides."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from nearfield.encoders.batches import pack  # noqa: E402
from nearfield.encoders.config import POOLING_MODES  # noqa: E402
from nearfield.encoders.pooling import pool, without_prompt  # noqa: E402


@pytest.mark.parametrize("mode", POOLING_MODES)
@pytest.mark.parametrize("skip", [0, 2])
def test_padding_side_does_not_matter(mode: str, skip: int) -> None:
    torch.manual_seed(3)
    lengths, width = [3, 5, 8], 8
    texts = [torch.randn(length, 4) for length in lengths]
    for side in ("left", "right"):
        tokens = torch.full((3, width, 4), 1e3)  # padding must not leak
        mask = torch.zeros(3, width, dtype=torch.int64)
        for row, text in enumerate(texts):
            first = width - len(text) if side == "left" else 0
            tokens[row, first : first + len(text)] = text
            mask[row, first : first + len(text)] = 1
        pooled = pool(tokens, mask, [mode], skip)
        for row, text in enumerate(texts):
            alone = pool(text[None], torch.ones(1, len(text), dtype=torch.int64), [mode], skip)
            torch.testing.assert_close(pooled[row], alone[0])


def test_without_prompt_counts_real_tokens() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]])
    assert without_prompt(mask, 2).tolist() == [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0]]


def test_pack_covers_every_row_within_the_budget() -> None:
    lengths = [1, 90, 5, 5, 300, 7, 2, 64, 64, 1]
    batches = pack(lengths, 128)
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        longest = max(lengths[row] for row in rows)
        assert len(rows) == 1 or len(rows) * longest <= 128
    assert batches[0] == [4]

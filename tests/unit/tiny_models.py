"""Text models small enough to be made in a test: random weights, a vocabulary of letters."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz:", "the", "query", "doc"]
TEXTS = ["a b c", "the a", "q", "a b c d e f g h i j k l m n o p", "the doc the query", "z y x"]


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def save_tokenizer(folder: Path, *, special: bool, side: str) -> None:
    """A word-level tokenizer, with [CLS] and [SEP] around the text where `special` holds."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        padding_side=side,
        model_max_length=32,
    )
    fast.save_pretrained(folder)


def save_bert(folder: Path) -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(
        vocab_size=len(WORDS), intermediate_size=32, max_position_embeddings=32, **shape
    )
    transformers.BertModel(config).save_pretrained(folder)
    save_tokenizer(folder, special=True, side="right")


def save_causal(folder: Path, side: str) -> None:
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
    )
    transformers.LlamaModel(config).save_pretrained(folder)
    save_tokenizer(folder, special=False, side=side)


def save_modules(folder: Path, pooling: dict[str, object], *more: str) -> None:
    kinds = ["Transformer", "Pooling", *more]
    write_json(
        folder / "modules.json",
        [
            {"idx": at, "name": str(at), "path": f"{at}_{kind}" if at else "", "type": kind}
            | {"type": kind if "." in kind else f"sentence_transformers.models.{kind}"}
            for at, kind in enumerate(kinds)
        ],
    )
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16} | pooling)

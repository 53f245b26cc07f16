"""Modules of sentence-transformers in and out: the library itself agrees about every vector."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

from unit.tiny_models import TEXTS, save_bert, save_modules, write_json  # noqa: E402

T = nf.transforms
ACTIVATIONS = ["Identity", "ReLU", "LeakyReLU", "Sigmoid", "Tanh"]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def dense(folder: Path, given: int = 16, bias: bool = True, **settings: Any) -> Path:
    """Write a Dense as the library does; further settings replace or extend its configuration."""
    tensors = {"linear.weight": torch.from_numpy(normal(given, 16))}
    if bias:
        tensors["linear.bias"] = torch.from_numpy(normal(given, seed=1))
    if settings.get("use_residual") and given != 16:
        tensors["residual.weight"] = torch.from_numpy(normal(given, 16, seed=2))
    config = {"in_features": 16, "out_features": given, "bias": bias, **settings}
    write_json(folder / "config.json", {k: v for k, v in config.items() if v is not None})
    safetensors.save_file(tensors, folder / "model.safetensors")
    return folder


def activation(name: str) -> str:
    return f"{getattr(torch.nn, name).__module__}.{name}"


def apply_dense(folder: Path, x: np.ndarray) -> np.ndarray:
    """What the configuration and the tensors of a Dense stand for, in float64."""
    config = json.loads((folder / "config.json").read_text())
    state = {k: v.double() for k, v in safetensors.load_file(folder / "model.safetensors").items()}
    act = getattr(torch.nn, config.get("activation_function", "Tanh").rsplit(".", 1)[-1])()
    wide = torch.from_numpy(x).double()
    y = act(wide @ state["linear.weight"].T + state.get("linear.bias", 0))
    if config.get("use_residual"):
        y = y + (wide @ state["residual.weight"].T if "residual.weight" in state else wide)
    return y.numpy()


def check_dense(folder: Path, kind: type) -> None:
    transform, x = T.from_sentence_transformers(folder), normal(20, 16, seed=3)
    assert type(transform) is kind
    np.testing.assert_allclose(transform(x), apply_dense(folder, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("given", [16, 5])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dense_modules(bias: bool, given: int, name: str, tmp_path: Path) -> None:
    folder = dense(tmp_path, given, bias, activation_function=activation(name))
    check_dense(folder, T.Affine if name == "Identity" else T.Chain)


def test_dense_modules_with_a_residual(tmp_path: Path) -> None:
    for name in ACTIVATIONS:
        folder = dense(tmp_path / name, activation_function=activation(name), use_residual=True)
        check_dense(folder, T.Affine if name == "Identity" else T.ResidualMLP)
    one = activation("Identity")
    check_dense(dense(tmp_path / "a", 5, use_residual=True, activation_function=one), T.Affine)
    crooked = dense(tmp_path / "b", 5, use_residual=True, activation_function=activation("Tanh"))
    with pytest.raises(ValueError, match="residual from 16 to 5"):
        T.from_sentence_transformers(crooked)


def test_weights_that_torch_pickled(tmp_path: Path) -> None:
    folder = dense(tmp_path)
    wanted = T.from_sentence_transformers(folder)(normal(3, 16))
    state = safetensors.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError):
        T.from_sentence_transformers(folder)
    torch.save(state, folder / "pytorch_model.bin")
    np.testing.assert_array_equal(T.from_sentence_transformers(folder)(normal(3, 16)), wanted)


UNFIT = {
    "an activation of its own": ({"activation_function": "evil.Activation"}, "evil.Activation"),
    "an unknown activation": ({"activation_function": "torch.nn.Softmax"}, "Softmax"),
    "a function, no activation": ({"activation_function": "torch.nn.functional.tanh"}, "tanh"),
    "a number": ({"activation_function": 3}, "activation 3"),
    "tokens": ({"module_input_name": "token_embeddings"}, "token_embeddings"),
    "another output": ({"module_output_name": "scores"}, "scores"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_no_transform_expresses_is_an_error(name: str, tmp_path: Path) -> None:
    settings, words = UNFIT[name]
    with pytest.raises(ValueError, match=words):
        T.from_sentence_transformers(dense(tmp_path, **settings))


LIES = {
    "no dimension": ({"in_features": None}, "in_features"),
    "another dimension": ({"out_features": 7}, "linear"),
    "no bias": ({"bias": False}, "linear.bias"),
    "a residual that is not there": ({"out_features": 5, "use_residual": True}, "linear"),
}


@pytest.mark.parametrize("name", LIES)
def test_configurations_that_lie_are_refused(name: str, tmp_path: Path) -> None:
    settings, words = LIES[name]
    dense(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | settings
    write_json(tmp_path / "config.json", {k: v for k, v in config.items() if v is not None})
    with pytest.raises(nf.CorruptFileError, match=words):
        T.from_sentence_transformers(tmp_path)


def test_hostile_weights_are_refused(tmp_path: Path) -> None:
    path = dense(tmp_path) / "model.safetensors"
    whole = path.read_bytes()
    for data in (whole[:-1], b"", b"PK" * 99):
        path.write_bytes(data)
        with pytest.raises(nf.CorruptFileError):
            T.from_sentence_transformers(tmp_path)


def model(folder: Path, *kinds: str) -> Path:
    """A model of a transformer, mean pooling and further modules; Dense are filled in."""
    folder.mkdir(exist_ok=True)
    save_bert(folder)
    save_modules(folder, {"pooling_mode_mean_tokens": True}, *kinds)
    for i, kind in enumerate(kinds, 2):
        if kind == "Dense":
            dense(folder / f"{i}_Dense", activation_function=activation("Identity"))
    return folder


def test_what_a_model_does_after_pooling(tmp_path: Path) -> None:
    x = normal(4, 16)
    folder = model(tmp_path, "Dropout", "Dense", "Normalize")
    transform = T.from_sentence_transformers(folder)
    mapped = apply_dense(folder / "3_Dense", x)
    wanted = mapped / np.linalg.norm(mapped, axis=1, keepdims=True)
    np.testing.assert_allclose(transform(x), wanted, atol=1e-6)
    save_modules(folder, {}, "Normalize")
    assert isinstance(T.from_sentence_transformers(folder), T.Normalize)
    save_modules(folder, {})
    with pytest.raises(ValueError, match="nothing to read"):
        T.from_sentence_transformers(folder)
    save_modules(folder, {}, "LSTM")
    with pytest.raises(ValueError, match="LSTM comes after pooling"):
        T.from_sentence_transformers(folder)
    save_modules(folder, {}, "somebody.Else")
    with pytest.raises(ValueError, match=r"somebody\.Else"):
        T.from_sentence_transformers(folder)


@pytest.mark.parametrize("path", ["../outside", "/etc", "a/../../b", 3, "a\0b"])
def test_modules_outside_the_model_are_refused(path: Any, tmp_path: Path) -> None:
    entry = {"type": "sentence_transformers.models.Dense", "path": path}
    write_json(tmp_path / "modules.json", [entry])
    with pytest.raises(nf.CorruptFileError, match="inside the model"):
        T.from_sentence_transformers(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[3]", "[", '[{"type": 3}]'])
def test_lists_of_modules_that_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text(text)
    with pytest.raises(nf.CorruptFileError):
        T.from_sentence_transformers(tmp_path)


LINEAR: dict[str, Any] = {
    "affine": T.Affine(normal(16, 16), normal(16)),
    "affine to fewer": T.Affine(normal(7, 16)),
    "low_rank": T.LowRank(normal(2, 16), normal(16, 2), scale=0.3, bias=normal(16)),
    "diagonal": T.Diagonal(normal(16)),
    "chain": T.Chain([T.LowRank(normal(2, 16), normal(16, 2)), T.Affine(normal(9, 16))]),
    "to unit length": T.Chain([T.Diagonal(normal(16)), T.Chain([T.Normalize()])]),
}


@pytest.mark.parametrize("name", LINEAR)
def test_exported_modules_come_back(name: str, tmp_path: Path) -> None:
    LINEAR[name].to_sentence_transformers(tmp_path / "modules")
    again, x = T.from_sentence_transformers(tmp_path / "modules"), normal(9, 16)
    np.testing.assert_allclose(again(x), LINEAR[name](x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "transform",
    [
        T.KeyValue(normal(3, 16), normal(3, 16)),
        T.ResidualMLP(normal(3, 16), None, normal(16, 3)),
        T.LexicalModulation(normal(30, 16)),
        T.Chain([T.Normalize(), T.Activation("tanh")]),
    ],
    ids=lambda transform: transform.kind,
)
def test_what_no_stock_module_expresses_is_an_error(transform: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no stock module"):
        transform.to_sentence_transformers(tmp_path / "modules")
    assert not list(tmp_path.iterdir())


def test_a_folded_matrix_beyond_float32_is_not_written(tmp_path: Path) -> None:
    huge = T.LowRank([[1e30, 1]], [[1e30], [1]])
    with pytest.raises(ValueError, match="LowRank: row 0 holds 1e\\+60, which overflows float32"):
        huge.to_sentence_transformers(tmp_path / "modules")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", LINEAR)
def test_the_library_encodes_queries_alone_through_the_adapter(name: str, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", minversion="5.0")
    base = model(tmp_path / "base", "Normalize")
    write_json(base / "config_sentence_transformers.json", {"prompts": {"query": "query : "}})
    LINEAR[name].to_sentence_transformers(tmp_path / "adapted", base=base)
    plain = library.SentenceTransformer(str(base), device="cpu")
    adapted = library.SentenceTransformer(str(tmp_path / "adapted"), device="cpu")
    np.testing.assert_array_equal(adapted.encode_document(TEXTS), plain.encode_document(TEXTS))
    np.testing.assert_array_equal(adapted.encode(TEXTS), plain.encode(TEXTS))
    wanted = LINEAR[name](plain.encode_query(TEXTS))
    np.testing.assert_allclose(adapted.encode_query(TEXTS), wanted, atol=1e-5)
    x = normal(5, 16)
    steps = T.from_sentence_transformers(tmp_path / "adapted")
    np.testing.assert_allclose(steps(x), LINEAR[name](T.Normalize()(x)), atol=1e-5)


def test_the_library_encodes_both_sides_through_the_adapter(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    base = model(tmp_path / "base", "Dense")
    adapter = T.Chain([LINEAR["low_rank"], T.Normalize()])
    adapter.to_sentence_transformers(tmp_path / "adapted", base=base, side="both")
    plain = library.SentenceTransformer(str(base), device="cpu")
    adapted = library.SentenceTransformer(str(tmp_path / "adapted"), device="cpu")
    wanted = adapter(plain.encode(TEXTS))
    np.testing.assert_allclose(adapted.encode(TEXTS), wanted, atol=1e-5)


def test_the_library_loads_a_module_alone(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers.models")
    LINEAR["low_rank"].to_sentence_transformers(tmp_path / "modules")
    layer, x = library.Dense.load(str(tmp_path / "modules" / "0_Dense")), normal(5, 16)
    with torch.no_grad():
        got = layer({"sentence_embedding": torch.from_numpy(x)})["sentence_embedding"].numpy()
    np.testing.assert_allclose(got, LINEAR["low_rank"](x), atol=1e-5)


def test_base_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    adapter, target = LINEAR["low_rank"], tmp_path / "adapted"
    with pytest.raises(FileNotFoundError, match=r"modules\.json"):
        adapter.to_sentence_transformers(target, base=tmp_path)
    base = model(tmp_path / "base")
    with pytest.raises(ValueError, match="makes 16 dimensions, but the transform takes 12"):
        T.Diagonal(normal(12)).to_sentence_transformers(target, base=base)
    with pytest.raises(ValueError, match="side"):
        adapter.to_sentence_transformers(target, base=base, side="document")  # type: ignore[arg-type]
    for foreign in ("somebody.Else", "sentence_transformers_else.Dense"):
        save_modules(base, {}, foreign)
        with pytest.raises(ValueError, match=foreign):
            adapter.to_sentence_transformers(target, base=base)
    save_modules(base, {})
    adapter.to_sentence_transformers(target, base=base)
    with pytest.raises(ValueError, match="a Router"):
        adapter.to_sentence_transformers(tmp_path / "again", base=target)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["adapted", "base"]


def test_folders_are_made_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, target = LINEAR["affine"], tmp_path / "adapted"
    base = model(tmp_path / "base")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy", fail)
        with pytest.raises(OSError, match="full"):
            adapter.to_sentence_transformers(target, base=base)
    assert [entry.name for entry in tmp_path.iterdir()] == ["base"]
    target.mkdir()
    adapter.to_sentence_transformers(target)
    with pytest.raises(FileExistsError, match="adapted"):
        adapter.to_sentence_transformers(target)

"""LlamaIndex's adapters: folders as its classes write them give the same vectors here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest

torch = pytest.importorskip("torch")

T = nf.transforms
ACTIVATIONS = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "leaky_relu": torch.nn.functional.leaky_relu,
}


def write(folder: Path, config: dict[str, Any], state: dict[str, Any]) -> Path:
    """Write a folder as ``BaseAdapter.save`` does."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def linear(folder: Path, taken: int, given: int, bias: bool) -> tuple[Path, Any]:
    torch.manual_seed(0)
    layer = torch.nn.Linear(taken, given, bias=bias)
    config = {"in_features": taken, "out_features": given, "bias": bias}
    state = {f"linear.{name}": value for name, value in layer.state_dict().items()}
    return write(folder, config, state), layer


def two_layers(
    folder: Path,
    given: int = 6,
    activation: str = "relu",
    residual: bool = False,
    bias: bool = True,
) -> tuple[Path, Any]:
    torch.manual_seed(1)
    first, second = torch.nn.Linear(6, 9), torch.nn.Linear(9, given)
    gate = torch.nn.Parameter(torch.tensor([0.7]))
    config = {
        "in_features": 6,
        "hidden_features": 9,
        "out_features": given,
        "bias": bias,
        "activation_fn_str": activation,
        "add_residual": residual,
    }
    layers = {"linear1": first, "linear2": second}
    state = {f"{n}.{k}": v for n, layer in layers.items() for k, v in layer.state_dict().items()}
    state["residual_weight"] = gate.data

    def apply(x: Any) -> Any:
        y = second(ACTIVATIONS[activation](first(x)))
        return gate * y + x if residual else y

    return write(folder, config, state), apply


def check_equal(transform: Any, reference: Any, dim: int) -> None:
    x = np.random.default_rng(0).standard_normal((20, dim)).astype(np.float32)
    with torch.no_grad():
        wanted = reference(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(transform(x), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("given", [6, 4])
def test_linear_layers(bias: bool, given: int, tmp_path: Path) -> None:
    folder, layer = linear(tmp_path, 6, given, bias)
    transform = T.from_llama_index(folder)
    assert isinstance(transform, T.Affine)
    assert (transform.b is not None) == bias
    check_equal(transform, layer, 6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("residual", "given"), [(False, 6), (False, 4), (True, 6)])
def test_two_layers(activation: str, residual: bool, given: int, tmp_path: Path) -> None:
    folder, apply = two_layers(tmp_path, given, activation, residual, bias=False)
    transform = T.from_llama_index(folder)
    assert isinstance(transform, T.ResidualMLP if residual else T.Chain)
    check_equal(transform, apply, 6)


def test_a_residual_that_starts_at_zero_is_the_identity(tmp_path: Path) -> None:
    folder, _ = two_layers(tmp_path, residual=True)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save({**state, "residual_weight": torch.zeros(1)}, folder / "pytorch_model.bin")
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    np.testing.assert_array_equal(T.from_llama_index(folder)(x), x)


def test_older_ways_of_writing_are_read(tmp_path: Path) -> None:
    folder, layer = linear(tmp_path, 6, 6, True)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    path = folder / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    check_equal(T.from_llama_index(folder), layer, 6)
    (folder / "config.json").write_text('{"in_features": 6, "out_features": 6, "bias": true}')
    torch.save({name: value.double() for name, value in state.items()}, path)
    check_equal(T.from_llama_index(folder), layer, 6)
    torch.save({name: value.bfloat16() for name, value in state.items()}, path)
    assert T.from_llama_index(folder).w.dtype == np.float32


class _Runs:
    """What would run code if a pickle were trusted."""

    def __reduce__(self) -> Any:
        return print, ("this must not run",)


def changed(state: dict[str, Any], **values: Any) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in values.items()}
    return {name: value for name, value in {**state, **named}.items() if value is not None}


BAD_STATES: dict[str, tuple[Any, str]] = {
    "missing": (lambda s: changed(s, linear__bias=None), "linear.bias' is not there"),
    "left over": (lambda s: changed(s, extra=torch.ones(1)), "extra' is of shape"),
    "a list": (lambda s: list(s.values()), "expected a state dict"),
    "of another shape": (lambda s: changed(s, linear__weight=torch.ones(6, 5)), "linear.weight"),
    "of integers": (lambda s: changed(s, linear__bias=torch.ones(6).int()), "int32"),
    "a word": (lambda s: changed(s, linear__bias="b"), "got str"),
    "sparse": (lambda s: changed(s, linear__weight=torch.eye(6).to_sparse()), "expected a tensor"),
    "without data": (lambda s: changed(s, linear__bias=torch.ones(6, device="meta")), ""),
    "NaN": (lambda s: changed(s, linear__bias=torch.full((6,), torch.nan)), "NaN"),
    "beyond float32": (lambda s: changed(s, linear__bias=torch.ones(6).double() * 1e300), "beyond"),
    "repeated": (lambda s: changed(s, linear__bias=torch.ones(1).expand(2**33)), "in a file of"),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_bad_weights_are_refused(name: str, tmp_path: Path) -> None:
    change, words = BAD_STATES[name]
    folder, _ = linear(tmp_path, 6, 6, True)
    path = folder / "pytorch_model.bin"
    torch.save(change(torch.load(path, weights_only=True)), path)
    with pytest.raises(nf.CorruptFileError, match=words or None):
        T.from_llama_index(folder)


def test_no_code_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = linear(tmp_path, 6, 6, True)
    for zipped in (True, False):
        path = folder / "pytorch_model.bin"
        torch.save({"linear.weight": _Runs()}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(nf.CorruptFileError, match="no plain weights"):
            T.from_llama_index(folder)
    assert capsys.readouterr().out == ""


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder, _ = linear(tmp_path, 6, 6, True)
    path = folder / "pytorch_model.bin"
    whole = path.read_bytes()
    for size in (*range(0, len(whole), 97), len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(nf.CorruptFileError):
            T.from_llama_index(folder)


def test_archives_that_expand_are_refused(tmp_path: Path) -> None:
    import zipfile

    folder, _ = linear(tmp_path, 6, 6, True)
    with zipfile.ZipFile(folder / "pytorch_model.bin", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/9", bytes(2**22))
    with pytest.raises(nf.CorruptFileError, match="claim to hold"):
        T.from_llama_index(folder)


BAD_CONFIGS = {
    "{": "not JSON",
    "[]": "expected an object",
    "{}": "LinearLayer",
    '{"in_features": 6, "out_features": 6, "power": 2}': "power",
    '{"in_features": "6", "out_features": 6}': "in_features",
    '{"in_features": 6, "out_features": 1e9}': "out_features",
    '{"in_features": 6, "out_features": 100000000}': "out_features",
    '{"in_features": true, "out_features": 6}': "in_features",
    '{"in_features": 6, "out_features": 7, "bias": true}': "linear.bias",
    '{"in_features": 6, "out_features": 6, "hidden_features": 2}': "linear",
}


@pytest.mark.parametrize("config", BAD_CONFIGS)
def test_bad_configurations_are_refused(config: str, tmp_path: Path) -> None:
    folder, _ = linear(tmp_path, 6, 6, True)
    (folder / "config.json").write_text(config)
    with pytest.raises(nf.CorruptFileError, match=BAD_CONFIGS[config]):
        T.from_llama_index(folder)


def test_unknown_activations_and_crooked_residuals_are_refused(tmp_path: Path) -> None:
    folder, _ = two_layers(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "activation_fn_str": "gelu"}))
    with pytest.raises(nf.CorruptFileError, match="gelu"):
        T.from_llama_index(folder)
    folder, _ = two_layers(tmp_path / "crooked", given=4, residual=True)
    with pytest.raises(nf.CorruptFileError, match="w2"):
        T.from_llama_index(folder)


def test_missing_files_and_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        T.from_llama_index(tmp_path)
    folder, _ = linear(tmp_path, 6, 6, True)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        with pytest.raises(ImportError, match=r'pip install "torch>=2.2"'):
            T.from_llama_index(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(FileNotFoundError):
        T.from_llama_index(folder)


def test_the_library_itself_writes_what_is_read(tmp_path: Path) -> None:
    library = pytest.importorskip("llama_index.embeddings.adapter.utils")
    torch.manual_seed(2)
    adapters = [
        library.LinearLayer(6, 6, bias=True),
        library.TwoLayerNN(6, 9, 6, activation_fn_str="tanh", add_residual=True),
        library.TwoLayerNN(6, 9, 4, activation_fn_str="leaky_relu"),
    ]
    for i, adapter in enumerate(adapters):
        for parameter in adapter.parameters():
            torch.nn.init.normal_(parameter)
        adapter.save(str(tmp_path / str(i)))
        check_equal(T.from_llama_index(tmp_path / str(i)), adapter, 6)

"""The torch side of an encoder: loading, and choosing where and in which precision it runs.

torch and transformers are imported inside functions, so that ``import nearfield`` needs neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import Step

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["choose_device", "choose_dtype", "load_dense", "load_transformer", "weights_digest"]

DTYPES = ("auto", "float32", "bfloat16")
_LEARNED_ABSOLUTE_OFFSET = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
_UNLIMITED = 1_000_000  # tokenizers without a limit report a huge number


def require_hf() -> None:
    """Raise ImportError with the pip line unless torch and transformers can be imported."""
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Encoder needs torch and transformers ({error}); install them with: "
            'pip install "nearfield[hf]"'
        ) from error


def choose_device(device: str | None) -> str:
    """Return `device`, or the first of "cuda", "mps" and "cpu" that is there."""
    import torch

    if device is not None:
        return str(torch.device(device))
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_dtype(dtype: str, device: str) -> str:
    """Resolve "auto" to "bfloat16" where the device multiplies it natively, else "float32"."""
    import torch

    if dtype not in DTYPES:
        raise ValueError(f"dtype: got {dtype!r}, expected one of {', '.join(DTYPES)}")
    if dtype != "auto":
        return dtype
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if device == "cpu" and _cpu_multiplies_bfloat16():
        return "bfloat16"
    return "float32"


def load_transformer(
    model: str, folder: str, hub_options: Mapping[str, Any], code_options: Mapping[str, Any]
) -> tuple[torch.nn.Module, Any, Any]:
    """Load the transformer, its tokenizer and its configuration, in float32 and evaluation mode.

    Parameters
    ----------
    model : str
        Local folder or hub name.
    folder : str
        Folder of the transformer inside the model, "" for the top.
    hub_options, code_options : mapping
        Passed on to transformers' ``from_pretrained``.
    """
    import torch
    import transformers

    options: dict[str, Any] = {**hub_options, **code_options}
    if folder and Path(model).is_dir():
        model = str(Path(model) / folder)
    elif folder:
        options["subfolder"] = folder
    settings = transformers.AutoConfig.from_pretrained(model, **options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model, **options)
    # These are encoder-decoders whose vectors are the encoder's output alone.
    encoder_half = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel"}.get(settings.model_type)
    loader = getattr(transformers, encoder_half) if encoder_half else transformers.AutoModel
    with _QuietLoading():
        network = loader.from_pretrained(
            model, config=settings, **options, **_dtype_option(torch.float32)
        )
    return network.eval(), tokenizer, settings


def length_limit(tokenizer: Any, settings: Any) -> int | None:
    """Return the most tokens the model takes, None where neither file names a limit."""
    limits = [limit for limit in (tokenizer.model_max_length,) if limit and limit < _UNLIMITED]
    positions = getattr(settings, "max_position_embeddings", None)
    if positions:
        if settings.model_type in _LEARNED_ABSOLUTE_OFFSET:
            positions -= (getattr(settings, "pad_token_id", None) or 0) + 1
        limits.append(positions)
    return int(min(limits)) if limits else None


def load_dense(
    model: str, step: Step, read_path: Callable[[str], str | None]
) -> Callable[[Tensor], Tensor]:
    """Load one dense layer as a function of a (batch, in) float32 tensor.

    Parameters
    ----------
    model : str
        Name used in error messages.
    step : Step
        The layer's folder and settings.
    read_path : callable
        Maps a file name inside the model to a local path, or None.
    """
    import torch

    weights = _read_weights(model, step.path, read_path)
    activation = _activation(model, step.settings.get("activation_function"))
    matrix = weights["linear.weight"].float()
    bias = weights["linear.bias"].float() if "linear.bias" in weights else None
    bridge = weights["residual.weight"].float() if "residual.weight" in weights else None
    residual = bool(step.settings.get("use_residual", False))

    def apply(x: Tensor) -> Tensor:
        linear = torch.nn.functional.linear
        here = x.device
        y = activation(linear(x, matrix.to(here), None if bias is None else bias.to(here)))
        if not residual:
            return y
        return y + (x if bridge is None else linear(x, bridge.to(here)))

    return apply


def weights_digest(network: torch.nn.Module) -> str:
    """Return 16 hex digits that tell two sets of weights apart.

    It reads the name, the shape and up to 256 evenly spaced values of every parameter: enough to
    notice another checkpoint or fine-tuning, at a thousandth of the cost of reading them all.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(network.named_parameters()):
        values = parameter.detach().reshape(-1)
        sample = values[:: max(1, values.numel() // 256)][:256].float().cpu().numpy()
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(sample.astype("<f4").tobytes())
    return digest.hexdigest()[:16]


def _cpu_multiplies_bfloat16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def _dtype_option(dtype: torch.dtype) -> dict[str, torch.dtype]:
    import transformers

    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    return {"dtype" if (major, minor) >= (4, 56) else "torch_dtype": dtype}


class _QuietLoading:
    """Silence transformers' own loading bar, which would ignore NEARFIELD_PROGRESS."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self._was_on = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()

    def __exit__(self, *exception: object) -> None:
        from transformers.utils import logging

        if self._was_on:
            logging.enable_progress_bar()


def _read_weights(
    model: str, folder: str, read_path: Callable[[str], str | None]
) -> dict[str, Tensor]:
    import torch

    stored = read_path(f"{folder}/model.safetensors")
    if stored is not None:
        from safetensors.torch import load_file

        return dict(load_file(stored))
    stored = read_path(f"{folder}/pytorch_model.bin")
    if stored is None:
        raise ValueError(f"model {model!r} names a dense layer but {folder} holds no weights")
    return dict(torch.load(stored, map_location="cpu", weights_only=True))


def _activation(model: str, name: str | None) -> Callable[[Tensor], Tensor]:
    import torch

    name = name or "torch.nn.Tanh"  # the stored format's default
    # Only plain torch.nn classes: the name comes from a file and must not import anything else.
    known = name.startswith("torch.nn.")
    found = getattr(torch.nn, name.rsplit(".", 1)[-1], None) if known else None
    if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
        raise ValueError(
            f"model {model!r} has a dense layer with activation {name!r}; expected a torch.nn class"
        )
    layer: Callable[[Tensor], Tensor] = found()
    return layer

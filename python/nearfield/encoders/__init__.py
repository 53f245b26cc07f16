"""Text encoders over HuggingFace transformers: texts in, float32 vectors out.

`Encoder` reads how a model wants to be used (pooling, prompts, projection, normalisation, length)
from the model's own configuration. torch and transformers are imported only when one is made.
"""

from .config import DOCUMENT_PROMPT_NAMES, POOLING_MODES, Step, TextModelConfig
from .encoder import Encoder

__all__ = ["DOCUMENT_PROMPT_NAMES", "POOLING_MODES", "Encoder", "Step", "TextModelConfig"]

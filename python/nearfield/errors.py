"""Exceptions of nearfield.

Wrong arguments raise the built-in ``TypeError`` and ``ValueError``; only what no built-in names
lives here. The native module raises these same classes.
"""

from __future__ import annotations

__all__ = ["CorruptFileError", "DeviceError", "NearfieldError", "NotTrainedError"]


class NearfieldError(Exception):
    """Base of every exception that only nearfield raises."""


class NotTrainedError(NearfieldError):
    """An index or a quantizer was used before it was trained."""


class CorruptFileError(NearfieldError):
    """A file is not a valid nearfield file; the message names the section and the offset."""


class DeviceError(NearfieldError):
    """An accelerator is missing, failed, or ran out of memory."""

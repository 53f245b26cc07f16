"""What happens where torch is not installed, and when bars are drawn."""

from __future__ import annotations

import builtins
import sys

import pytest
from nearfield import progress
from nearfield.encoders import Encoder


def test_missing_extra_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r'pip install "nearfield\[hf\]"'):
        Encoder("any-model")


def test_bar_follows_terminal_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEARFIELD_PROGRESS", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert progress.enabled()
    monkeypatch.setenv("NEARFIELD_PROGRESS", "0")
    assert not progress.enabled()
    assert progress.enabled(True)
    monkeypatch.delenv("NEARFIELD_PROGRESS")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert not progress.enabled()


def test_text_line_without_tqdm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_import = builtins.__import__

    def refuse(name: str, *rest: object) -> object:
        if name == "tqdm":
            raise ImportError(name)
        return plain_import(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with progress.bar(10, "Reading", "file", True) as advance:
        advance(4)
        advance(6)
    assert "Reading: 10/10 files\n" in capsys.readouterr().err

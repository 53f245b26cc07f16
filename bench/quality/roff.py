"""Running text of a manual page's source: paragraphs, without macros, tables and examples.

A reading, not a formatter: fonts and special characters are resolved, requests are dropped, what
stands between .nf and .fi (laid out by hand: synopses, programs) is left out. Cost: 2 ms a page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BREAKS = {"PP", "P", "LP", "Pp", "TP", "IP", "SH", "SS", "Sh", "Ss", "sp", "HP", "RS", "RE", "It"}
_INLINE = {"B", "I", "BR", "RB", "IR", "RI", "BI", "IB", "SM", "SB"}
_ALTERNATING = {"BR", "RB", "IR", "RI", "BI", "IB"}  # their arguments are set without spaces
_LEFT_OUT = {"nf": "fi", "EX": "EE", "TS": "TE", "de": ".", "ig": ".", "Bd": "Ed"}
_CHARACTERS = {
    "(aq": "'", "(dq": '"', "(cq": "'", "(oq": "'", "(lq": '"', "(rq": '"', "(en": "-",
    "(em": "-", "(bu": "*", "(co": "(c)", "(ha": "^", "(ti": "~", "(rs": "\\", "(at": "@",
    "(mi": "-", "(hy": "-", "e": "\\", "-": "-", "'": "'", "`": "`", " ": " ", "~": " ", "0": " ",
    "&": "", "%": "", "|": "", "^": "", "/": "", ",": "", "c": "", ":": "", "d": "", "u": "",
    ")": "",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:f(?:\(..|\[[^]]*\]|.)|s[-+]?\d+|\*(?:\(..|\[[^]]*\]|.)|[mMFk](?:\[[^]]*\]|.)|"
    r"[hvwxobDlLZ]'[^']*'|n(?:\(..|.)|\[([^]]*)\]|(\(..|.))"
)
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"|(\S+)')


def _character(match: re.Match[str]) -> str:
    if match[1] is not None:  # \[name]
        code = re.fullmatch(r"u([0-9A-F]{4,6})", match[1])
        return chr(int(code[1], 16)) if code else _CHARACTERS.get("(" + match[1], "")
    return _CHARACTERS.get(match[2], "") if match[2] is not None else ""


def plain(line: str) -> str:
    """Text of a line without escapes."""
    return _ESCAPE.sub(_character, re.sub(r'\\["#].*', "", line))


def _arguments(rest: str, alternating: bool) -> str:
    words = [quoted or bare for quoted, bare in _ARGUMENT.findall(rest)]
    return ("" if alternating else " ").join(words)


def paragraphs(source: str) -> Iterator[str]:
    """Yield the paragraphs of a page, each as one line."""
    held: list[str] = []
    until = ""
    for line in source.splitlines():
        request = re.match(r"[.']\s*(\\?\S+)\s?(.*)", line)
        name = request[1] if request else ""
        if until:
            until = "" if name == until else until
            continue
        if name in _LEFT_OUT:
            until = _LEFT_OUT[name]
        elif request is None and line.strip():
            held.append(plain(line))
        elif name in _INLINE and request is not None:
            held.append(plain(_arguments(request[2], name in _ALTERNATING)))
        if held and (name in _BREAKS or until or (request is None and not line.strip())):
            yield from _whole(held)
            held = []
    yield from _whole(held)


def _whole(lines: list[str]) -> Iterator[str]:
    text = " ".join(" ".join(lines).split())
    if text:
        yield text

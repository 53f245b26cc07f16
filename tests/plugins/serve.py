"""The other end of `plugins.isa.Level`: reads calls from stdin, writes their results to stdout."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import traceback


def main() -> None:
    """Answer calls until stdin ends."""
    calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that prints may get between the answers
    while True:
        try:
            function, args, kwargs = pickle.load(calls)
        except EOFError:
            return
        module, _, name = function.partition(":")
        try:
            value = getattr(importlib.import_module(module), name)(*args, **kwargs)
            answer = (True, value)
        except Exception:
            answer = (False, traceback.format_exc())
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()

"""Nearfield beside other libraries: one run, the same data, timed in turn.

``python -m bench.pareto run`` measures, ``table`` and ``plot`` read what was measured, ``list``
says what is here. See ``bench/README.md``.
"""

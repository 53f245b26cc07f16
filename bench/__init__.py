"""Benchmarks: the asv suite in ``benchmarks``, the side-by-side runner in ``pareto``."""

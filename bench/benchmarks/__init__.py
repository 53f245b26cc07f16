"""asv suite: how fast one version is, and whether the next one is slower.

Each file is one concern. A benchmark whose data or instruction set is not here skips itself.
"""

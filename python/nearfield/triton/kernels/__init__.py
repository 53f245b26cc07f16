"""The Triton kernels: the one folder whose modules import Triton when they are imported.

Nothing outside :mod:`nearfield.triton` imports them, and that only inside functions.
"""

"""CUDA: arrays of a device in, results on the device out, nothing copied and nothing awaited.

The driver and NVRTC are found at the first use (:func:`nearfield.devices`); a wheel for the host is
all that is installed.
"""

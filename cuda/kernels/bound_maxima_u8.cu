// Group maxima of bounds by bytes on tensor cores; see bound_maxima.cuh. Source: there.

#include "bound_maxima.cuh"

NEARFIELD_BOUND_MAXIMA(bound_maxima_u8_q128, ByteMma, 128, 128)
NEARFIELD_BOUND_MAXIMA(bound_maxima_u8_q32, ByteMma, 32, 256)
NEARFIELD_BOUND_MAXIMA(bound_maxima_u8_q16, ByteMma, 16, 256)

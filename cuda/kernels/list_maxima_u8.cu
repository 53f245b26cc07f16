// Group maxima of probed lists, byte rows; see list_maxima.cuh. Source: there.

#include "list_maxima.cuh"

NEARFIELD_LIST_MAXIMA(list_maxima_u8_q32, ByteMma, 32, 256)

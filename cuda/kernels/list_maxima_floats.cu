// Group maxima of probed lists, float rows; see list_maxima.cuh. Source: there.

#include "list_maxima.cuh"

NEARFIELD_LIST_MAXIMA(list_maxima_f32_q64, Fma, 64, 128)
NEARFIELD_LIST_MAXIMA(list_maxima_f16_q32, MmaF16, 32, 256)
NEARFIELD_LIST_MAXIMA(list_maxima_bf16_q32, MmaBF16, 32, 256)

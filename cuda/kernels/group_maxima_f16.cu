// Group maxima of float16 on tensor cores; see group_maxima.cuh. Source: there.

#include "group_maxima.cuh"

NEARFIELD_GROUP_MAXIMA(group_maxima_f16_q128, MmaF16, 128, 128)
NEARFIELD_GROUP_MAXIMA(group_maxima_f16_q32, MmaF16, 32, 256)
NEARFIELD_GROUP_MAXIMA(group_maxima_f16_q16, MmaF16, 16, 256)

// Group maxima of float32 by fused multiply-adds; see group_maxima.cuh. Source: there.

#include "group_maxima.cuh"

NEARFIELD_GROUP_MAXIMA(group_maxima_f32_q64, Fma, 64, 128)
NEARFIELD_GROUP_MAXIMA(group_maxima_f32_q16, Fma, 16, 128)

// Group maxima of bfloat16 on tensor cores; see group_maxima.cuh. Source: there.

#include "group_maxima.cuh"

NEARFIELD_GROUP_MAXIMA(group_maxima_bf16_q128, MmaBF16, 128, 128)
NEARFIELD_GROUP_MAXIMA(group_maxima_bf16_q32, MmaBF16, 32, 256)
NEARFIELD_GROUP_MAXIMA(group_maxima_bf16_q16, MmaBF16, 16, 256)

// Group maxima of bytes on tensor cores, exact; see group_maxima.cuh. Source: there.

#include "group_maxima.cuh"

NEARFIELD_GROUP_MAXIMA(group_maxima_u8_q128, ByteMma, 128, 128)
NEARFIELD_GROUP_MAXIMA(group_maxima_u8_q32, ByteMma, 32, 256)
NEARFIELD_GROUP_MAXIMA(group_maxima_u8_q16, ByteMma, 16, 256)

// Group maxima of signed bytes on tensor cores, exact; see group_maxima.cuh. Source: there.

#include "group_maxima.cuh"

NEARFIELD_GROUP_MAXIMA(group_maxima_i8_q128, SignedMma, 128, 128)
NEARFIELD_GROUP_MAXIMA(group_maxima_i8_q32, SignedMma, 32, 256)
NEARFIELD_GROUP_MAXIMA(group_maxima_i8_q16, SignedMma, 16, 256)

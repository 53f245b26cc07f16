// The nearest centroid of float32 points; see nearest.cuh. Source: there.

#include "nearest.cuh"

NEARFIELD_NEAREST(nearest_f32, Fma, 64, 128)

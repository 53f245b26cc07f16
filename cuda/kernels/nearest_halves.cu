// The nearest centroid of float16 and bfloat16 points, centroids rounded alike; see nearest.cuh.
// Source: there.

#include "nearest.cuh"

NEARFIELD_NEAREST(nearest_f16, MmaF16, 128, 128)
NEARFIELD_NEAREST(nearest_bf16, MmaBF16, 128, 128)

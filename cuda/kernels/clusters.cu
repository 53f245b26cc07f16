// Assignments that nearest.cuh has not proven: points whose lead is not above two margins are compared with all
// centroids in float64, in the engine's order of sums, ties to the smaller number.
// Cost: clusters * dim for an unproven point. Source: own.

#include "canonical.cuh"

namespace nearfield {
namespace {

using f32 = float;
constexpr u32 kMaxWarps = 32;

struct BestKey {
    double key;
    u32 id;
};

template <class T>
__device__ void decide(const T* point, const float* centroids, u64 stride, u32 count, u32 dim,
                       u32 metric, const double* norms, BestKey* all, u32* nearest) {
    BestKey best = {-infinity(), kNoId};
    for (u32 c = warp_id(); c < count; c += blockDim.x / kWarp) {
        const double norm = metric == kCosine ? norms[c] : 1.0;
        const double key = exact_key(point, centroids + c * stride, dim, metric, norm);
        if (key > best.key || best.id == kNoId) best = {key, c};
    }
    if (lane_id() == 0) all[warp_id()] = best;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (u32 w = 1; w < blockDim.x / kWarp; ++w) {
        const BestKey other = all[w];
        if (other.id == kNoId) continue;
        if (other.key > best.key || (other.key == best.key && other.id < best.id)) best = other;
    }
    *nearest = best.id;
}

}  // namespace
}  // namespace nearfield

/// A block a point, of a multiple of 32 threads. Strides in elements. norms: of centroids, for cosine.
#define NEARFIELD_NEAREST_EXACT(T)                                                             \
    extern "C" __global__ void nearest_exact_##T(                                              \
        const nearfield::T* points, nearfield::u64 stride, const float* centroids,             \
        nearfield::u64 centroid_stride, nearfield::u32 count, nearfield::u32 dim,              \
        nearfield::u32 metric, const double* norms, const float* lead, const float* margin,    \
        nearfield::u32* nearest) {                                                             \
        __shared__ nearfield::BestKey all[nearfield::kMaxWarps];                               \
        const nearfield::u64 p = blockIdx.x;                                                   \
        if (lead[p] > 2.0f * margin[p]) return;                                                \
        nearfield::decide(points + p * stride, centroids, centroid_stride, count, dim, metric, \
                          norms, all, nearest + p);                                            \
    }                                                                                          \
    NEARFIELD_KERNEL(nearest_exact_##T)

NEARFIELD_NEAREST_EXACT(f32)
NEARFIELD_NEAREST_EXACT(f16)
NEARFIELD_NEAREST_EXACT(bf16)

// What k-means reads of single points: squared lengths, exact keys of pairs, some of the points, labels.
//
// Squared lengths and keys are in the engine's order of sums, a warp a point, blocks of a multiple of 32 threads.
// Cost: one read of the points that are asked for. Source: own.

#include "canonical.cuh"

namespace nearfield {
namespace {

using f32 = float;
constexpr i64 kMissing = static_cast<i64>(1ull << 63);

__device__ u32 point_of_warp() { return blockIdx.x * (blockDim.x / kWarp) + warp_id(); }

}  // namespace
}  // namespace nearfield

/// Strides in elements. keys[p]: of point p and centroid nearest[p]; metric ip or l2.
#define NEARFIELD_CLUSTER_ROWS(T)                                                                 \
    extern "C" __global__ void squared_norms_##T(const nearfield::T* points,                      \
                                                 nearfield::u64 stride, nearfield::u32 count,     \
                                                 nearfield::u32 dim, double* squared) {           \
        using namespace nearfield;                                                                \
        const u32 p = point_of_warp();                                                            \
        if (p >= count) return;                                                                   \
        const double sum = warp_ip(points + p * stride, points + p * stride, dim);                \
        if (lane_id() == 0) squared[p] = sum;                                                     \
    }                                                                                             \
    NEARFIELD_KERNEL(squared_norms_##T)                                                           \
    extern "C" __global__ void keys_of_nearest_##T(                                               \
        const nearfield::T* points, nearfield::u64 stride, nearfield::u32 count,                  \
        const float* centroids, nearfield::u32 dim, nearfield::u32 metric,                        \
        const nearfield::u32* nearest, double* keys) {                                            \
        using namespace nearfield;                                                                \
        const u32 p = point_of_warp();                                                            \
        if (p >= count) return;                                                                   \
        const float* const c = centroids + static_cast<u64>(nearest[p]) * dim;                    \
        const double key = exact_key(points + p * stride, c, dim, metric, 1.0);                   \
        if (lane_id() == 0) keys[p] = key;                                                        \
    }                                                                                             \
    NEARFIELD_KERNEL(keys_of_nearest_##T)                                                         \
    /* out[i] = points[ids[i]], without a gap between rows. A warp a row. */                      \
    extern "C" __global__ void gather_rows_##T(const nearfield::T* points, nearfield::u64 stride, \
                                               const nearfield::u32* ids, nearfield::u32 count,   \
                                               nearfield::u32 dim, nearfield::T* out) {           \
        using namespace nearfield;                                                                \
        const u32 i = point_of_warp();                                                            \
        if (i >= count) return;                                                                   \
        const nearfield::T* const x = points + ids[i] * stride;                                   \
        for (u32 k = lane_id(); k < dim; k += kWarp) out[static_cast<u64>(i) * dim + k] = x[k];   \
    }                                                                                             \
    NEARFIELD_KERNEL(gather_rows_##T)                                                             \
    /* A thread a point. Points that are not finite have the label kMissing; their margin is  */  \
    /* infinite, as that of very long ones is. margin may be null: all points are finite.     */  \
    extern "C" __global__ void labels_of_nearest_##T(                                             \
        const nearfield::T* points, nearfield::u64 stride, nearfield::u32 count,                  \
        nearfield::u32 dim, const float* margin, const nearfield::u32* nearest,                   \
        nearfield::i64* labels) {                                                                 \
        using namespace nearfield;                                                                \
        const u32 p = blockIdx.x * blockDim.x + threadIdx.x;                                      \
        if (p >= count) return;                                                                   \
        bool is_finite = true;                                                                    \
        if (margin != nullptr && margin[p] == infinity()) {                                       \
            for (u32 k = 0; k < dim; ++k) {                                                       \
                const float x = to_float(points[p * stride + k]);                                 \
                is_finite = is_finite && x - x == 0.0f;                                           \
            }                                                                                     \
        }                                                                                         \
        labels[p] = is_finite ? static_cast<i64>(nearest[p]) : kMissing;                          \
    }                                                                                             \
    NEARFIELD_KERNEL(labels_of_nearest_##T)

NEARFIELD_CLUSTER_ROWS(f32)
NEARFIELD_CLUSTER_ROWS(f16)
NEARFIELD_CLUSTER_ROWS(bf16)

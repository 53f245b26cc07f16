// From assigned points to centroids, bit for bit as cpp/quant/kmeans/clusters.cpp does it.
//
// Points are listed cluster by cluster, in their order (sort_pairs.cu). A segment of a cluster's list is added up
// from zero in float64, then the segments are added to the cluster's sum in their order: one sum may be shared by
// many blocks and has the same bits for any of them. Where few points change their cluster only those are listed,
// to be subtracted and then added: mark_moved gives every other point the number k, past the last cluster.
// Segments of cluster c stand from first_segment(c) on: the list's own segments begin where a cluster's do.
// Cost: one read of the points that are listed. Source: own.

#include "canonical.cuh"

namespace nearfield {
namespace {

using f32 = float;

/// offset: where cluster c's list begins. Of clusters one after another the places never overlap.
__device__ u32 first_segment(u32 offset, u32 c, u32 segment) { return offset / segment + c; }

/// A thread has one dimension of a segment's sum.
template <class T>
__device__ void add_segment(const T* points, u64 stride, u32 k, const u32* order, u32 first,
                            u32 last, double* sum) {
    double own = 0.0;
    for (u32 at = first; at < last; ++at) {
        own += static_cast<double>(to_float(points[order[at] * stride + k]));
    }
    *sum = own;
}

}  // namespace
}  // namespace nearfield

/// Grid (clusters, dim / threads, any). partial: (points / segment + clusters) x dim.
#define NEARFIELD_SEGMENT_SUMS(T)                                                                  \
    extern "C" __global__ void segment_sums_##T(const nearfield::T* points, nearfield::u64 stride, \
                                                nearfield::u32 dim, const nearfield::u32* order,   \
                                                const nearfield::u32* offsets,                     \
                                                nearfield::u32 segment, double* partial) {         \
        using namespace nearfield;                                                                 \
        const u32 k = blockIdx.y * blockDim.x + threadIdx.x, c = blockIdx.x;                       \
        if (k >= dim) return;                                                                      \
        const u32 begin = offsets[c], end = offsets[c + 1];                                        \
        const u64 place = first_segment(begin, c, segment);                                        \
        for (u32 s = blockIdx.z; s < (end - begin + segment - 1) / segment; s += gridDim.z) {      \
            const u32 first = begin + s * segment;                                                 \
            add_segment(points, stride, k, order, first, min(end - first, segment) + first,        \
                        partial + (place + s) * dim + k);                                          \
        }                                                                                          \
    }                                                                                              \
    NEARFIELD_KERNEL(segment_sums_##T)

NEARFIELD_SEGMENT_SUMS(f32)
NEARFIELD_SEGMENT_SUMS(f16)
NEARFIELD_SEGMENT_SUMS(bf16)

/// Grid (clusters, dim / threads). sign: 1, or -1 for points that leave.
extern "C" __global__ void add_segments(const double* partial, const nearfield::u32* offsets,
                                        nearfield::u32 segment, nearfield::u32 dim, double sign,
                                        double* sums, nearfield::u32* sizes) {
    using namespace nearfield;
    const u32 k = blockIdx.y * blockDim.x + threadIdx.x, c = blockIdx.x;
    if (k >= dim) return;
    const u32 begin = offsets[c], size = offsets[c + 1] - begin;
    const u64 place = first_segment(begin, c, segment);
    double sum = sums[static_cast<u64>(c) * dim + k];
    for (u32 s = 0; s < (size + segment - 1) / segment; ++s) {
        sum += sign * partial[(place + s) * dim + k];
    }
    sums[static_cast<u64>(c) * dim + k] = sum;
    if (k == 0) sizes[c] += sign < 0.0 ? 0u - size : size;
}
NEARFIELD_KERNEL(add_segments)

/// One thread a point. moved: how many, set to zero before.
extern "C" __global__ void mark_moved(const nearfield::u32* before, const nearfield::u32* now,
                                      nearfield::u32 count, nearfield::u32 clusters,
                                      nearfield::u32* from, nearfield::u32* to,
                                      nearfield::u32* moved) {
    using namespace nearfield;
    const u32 p = blockIdx.x * blockDim.x + threadIdx.x;
    const bool has_moved = p < count && before[p] != now[p];
    if (p < count) {
        from[p] = has_moved ? before[p] : clusters;
        to[p] = has_moved ? now[p] : clusters;
    }
    const u32 lanes = __ballot_sync(kAllLanes, has_moved);
    if (lane_id() == 0 && lanes != 0) atomicAdd(moved, static_cast<u32>(__popc(lanes)));
}
NEARFIELD_KERNEL(mark_moved)

/// One thread a cluster. next: the mean, at unit length if spherical; the old centroid where there is none.
/// share: the cluster's part of the sum of |x - c|^2 - |x|^2 over all points, for the old centroids.
extern "C" __global__ void means_of_sums(const double* sums, const nearfield::u32* sizes,
                                         const float* old, nearfield::u32 clusters,
                                         nearfield::u32 dim, nearfield::u32 spherical, float* next,
                                         double* share) {
    using namespace nearfield;
    const u32 c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= clusters) return;
    const u64 at = static_cast<u64>(c) * dim;
    double product = 0.0, squared = 0.0, length = 0.0;
    for (u32 k = 0; k < dim; ++k) {
        const double sum = sums[at + k], element = static_cast<double>(old[at + k]);
        product += sum * element;
        squared += element * element;
        length += sum * sum;
    }
    const double size = static_cast<double>(sizes[c]);
    const double scale = spherical != 0 ? sqrt(length) : size;
    const bool has_mean = sizes[c] != 0 && scale > 0.0;
    for (u32 k = 0; k < dim; ++k) {
        next[at + k] = has_mean ? static_cast<float>(sums[at + k] / scale) : old[at + k];
    }
    share[c] = size * squared - 2.0 * product;
}
NEARFIELD_KERNEL(means_of_sums)

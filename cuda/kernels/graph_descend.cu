// Where walks start: from the top of a graph of levels down to the level of all rows.
//
// Every node of the top level is scored. From the best, each level below is walked along its links to whatever
// is nearer, and where nothing is, one level down. A block has a query; the order of threads changes nothing,
// for the best is the one with the largest key.
//
// Nodes of all levels but the lowest lie one after another, the lowest of them first: those of level l are
// starts[l] .. starts[l + 1] - 1, numbered from 0 within their level. node_rows: the row of each; below: its
// number on the level below (on the first of these levels: its row); links: `width` numbers of its own level,
// kNoId where there is none. upper: how many such levels; 0: all rows are the top level.
// Rows below 2^31. Shared memory: 4 dim. Grid: queries; blocks of a multiple of 32 threads, at most 1024.
// Cost: the rows of the top level, and of the neighbours of some nodes a level.
// Source: Malkov & Yashunin (1603.09320), Algorithm 5 with ef = 1 above the lowest level.

#include "graph_score.cuh"

namespace nearfield {
namespace {

struct Levels {
    const u32* node_rows;
    const u32* below;
    const u32* links;
    const u32* starts;
    u32 upper, width;
};

template <class T>
struct Descent {
    WalkRows<T> rows;
    Levels levels;
    const float* q;  // in shared memory, like the best of each warp
    u64* bests;

    __device__ u64 key(u32 row, u32 number) const { return fresh_key(rows.score(q, row), number); }

    /// The best of all warps, in all threads.
    __device__ u64 best_of(u64 mine) const {
        if (lane_id() == 0) bests[warp_id()] = mine;
        __syncthreads();
        u64 best = 0;
        for (u32 w = 0; w < blockDim.x / kWarp; ++w) best = bests[w] > best ? bests[w] : best;
        __syncthreads();
        return best;
    }

    /// node_rows null: rows themselves.
    __device__ u64 best_of_top(const u32* node_rows, u32 count) const {
        u64 mine = 0;
        for (u32 i = warp_id(); i < count; i += blockDim.x / kWarp) {
            const u64 one = key(node_rows != nullptr ? node_rows[i] : i, i);
            mine = one > mine ? one : mine;
        }
        return best_of(mine);
    }

    /// The node of one level where nothing it leads to is nearer.
    __device__ u32 walk(u32 level, u32 number) const {
        const u32 first = levels.starts[level], count = levels.starts[level + 1] - first;
        u64 best = key(levels.node_rows[first + number], number);
        for (;;) {
            const u32* const links =
                levels.links + static_cast<u64>(first + row_of(best)) * levels.width;
            u64 mine = best;
            for (u32 i = warp_id(); i < levels.width; i += blockDim.x / kWarp) {
                const u32 next = links[i];
                if (next >= count) continue;
                const u64 one = key(levels.node_rows[first + next], next);
                mine = one > mine ? one : mine;
            }
            const u64 found = best_of(mine);
            if (found == best) return row_of(best);
            best = found;
        }
    }

    __device__ u32 run(u32 row_count) const {
        if (levels.upper == 0) return row_of(best_of_top(nullptr, row_count));
        u32 level = levels.upper - 1;
        const u32 first = levels.starts[level];
        u32 number =
            row_of(best_of_top(levels.node_rows + first, levels.starts[level + 1] - first));
        while (level > 0) {
            number = levels.below[levels.starts[level] + number];
            --level;
            number = walk(level, number);
        }
        return levels.below[number];
    }
};

}  // namespace
}  // namespace nearfield

/// entries: a row a query. Strides in elements.
#define NEARFIELD_GRAPH_DESCEND(T)                                                              \
    extern "C" __global__ void graph_descend_##T(                                               \
        const float* queries, nearfield::u64 query_stride, const nearfield::T* rows,            \
        nearfield::u64 stride, nearfield::u32 row_count, nearfield::u32 dim,                    \
        nearfield::u32 metric, float unit, const float* scale, const nearfield::u32* node_rows, \
        const nearfield::u32* below, const nearfield::u32* links, const nearfield::u32* starts, \
        nearfield::u32 upper, nearfield::u32 width, nearfield::u32* entries) {                  \
        using namespace nearfield;                                                              \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                       \
        __shared__ u64 bests[32];                                                               \
        float* const q = reinterpret_cast<float*>(shared);                                      \
        for (u32 d = threadIdx.x; d < dim; d += blockDim.x) {                                   \
            q[d] = queries[blockIdx.x * query_stride + d];                                      \
        }                                                                                       \
        __syncthreads();                                                                        \
        const Descent<T> descent = {{rows, stride, dim, metric, unit, scale},                   \
                                    {node_rows, below, links, starts, upper, width},            \
                                    q,                                                          \
                                    bests};                                                     \
        const u32 entry = descent.run(row_count);                                               \
        if (threadIdx.x == 0) entries[blockIdx.x] = entry;                                      \
    }                                                                                           \
    NEARFIELD_KERNEL(graph_descend_##T)

NEARFIELD_GRAPH_DESCEND(f32)
NEARFIELD_GRAPH_DESCEND(f16)
NEARFIELD_GRAPH_DESCEND(bf16)
NEARFIELD_GRAPH_DESCEND(i8)
NEARFIELD_GRAPH_DESCEND(u8)

/// A mask in another order: out[i] = mask[order[i]], zero from `count` on. A thread a row.
extern "C" __global__ void ordered_mask(const nearfield::u8* mask, const nearfield::u32* order,
                                        nearfield::u32 count, nearfield::u8* out) {
    const nearfield::u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = mask[order[i]];
}
NEARFIELD_KERNEL(ordered_mask)

// Search in a graph of neighbours: from some entries, always on to the neighbours of the best rows seen.
//
// A block has a query. It keeps the `beam` best rows it has seen, sorted; in each round it takes the `picks`
// best whose neighbours it has not looked at yet, scores their neighbours that are new (a warp a row) and
// sorts them in. It ends when the beam has no row left to go on from, or after `rounds`. What has been seen
// is a hash table. The `rerank` best are then scored exactly, in the engine's order of sums, and sorted:
// those below `answering` that a mask lets answer; walks pass through all rows.
// horizon: with the horizon-th best so far at a squared distance d, walks do not go on from rows further than
// stretch d; 0: no limit. length: |x| of all rows times unit, 1 for cosine.
// The order of threads changes nothing: a row is new once, and ties go to the smaller number.
//
// Rows below 2^31. links: `degree` a row, kNoId where there is none. visited: table_size numbers a query (a
// power of two, at least twice what the rounds can see: entries + rounds picks degree, or all rows), or null
// and in shared memory. Shared memory: 16 rerank + 8 (beam + most) + 4 (dim + picks + 1),
// most = max(entries, picks degree), and 4 table_size where visited is null. Grid: queries; blocks of a
// multiple of 32 threads.
// Cost: picks degree rows of dim a round, and a sort of the beam. Source: Ootomo et al., "CAGRA" (2308.15136),
// with a table that forgets nothing.

#include "canonical.cuh"
#include "graph_score.cuh"
#include "sort.cuh"

namespace nearfield {
namespace {

struct Graph {
    const u32* links;
    u32 degree;
    u32 rows;
};

struct Walk {
    u32 beam, picks, rounds, horizon;
    float stretch, length;
};

/// What comes of a walk.
struct Answers {
    u32 answering;
    const u8* mask;
    u32 rerank, k;

    __device__ bool takes(u32 row) const {
        return row < answering && (mask == nullptr || mask[row] != 0);
    }
};

__device__ bool is_finite(double x) { return x - x == 0.0; }

/// Whether a row was not in the table; it is afterwards. One lane.
__device__ bool is_new(u32* table, u32 size, u32 row) {
    u32 slot = (row * 2654435769u) & (size - 1);
    for (u32 tries = 0; tries < size; ++tries) {
        const u32 before = atomicCAS(&table[slot], kNoId, row);
        if (before == kNoId) return true;
        if (before == row) return false;
        slot = (slot + 1) & (size - 1);
    }
    return false;
}

template <class T>
struct Search {
    WalkRows<T> rows;
    const double* norms;
    Graph graph;
    Walk walk;
    Answers answers;
    float* q;  // from here on in shared memory
    u64* keys;
    u32* picked;  // and how many
    u32* table;
    u32 table_size;

    /// Keys of `count` rows, where they are new, after those of the beam.
    __device__ void score(const u32* from, u32 count) const {
        for (u32 i = warp_id(); i < count; i += blockDim.x / kWarp) {
            const u32 row =
                from != nullptr
                    ? from[i]
                    : graph.links[static_cast<u64>(picked[i / graph.degree]) * graph.degree +
                                  i % graph.degree];
            u32 wanted = 0;
            if (lane_id() == 0) wanted = row < graph.rows && is_new(table, table_size, row);
            wanted = __shfl_sync(kAllLanes, wanted, 0);
            float score = 0.0f;
            if (wanted) score = rows.score(q, row);
            if (lane_id() == 0) keys[walk.beam + i] = wanted ? fresh_key(score, row) : 0;
        }
    }

    /// The score of the query itself, from which scores fall as half the squared distance rises, or all of it.
    __device__ float highest() const {
        if (rows.metric == kL2) return 0.0f;
        float sum = 0.0f;
        for (u32 k = lane_id(); k < rows.dim; k += kWarp) {
            sum = fmaf(q[k] * rows.unit, q[k] * rows.unit, sum);
        }
        return sqrtf(warp_sum(sum)) * walk.length;
    }

    /// Keys that are worth going on from are at least this.
    __device__ u64 least_key(float highest) const {
        if (walk.horizon == 0 || keys[walk.horizon - 1] == 0) return 0;
        const float off = fmaxf(highest - score_of(keys[walk.horizon - 1]), 0.0f);
        return key_of(highest - walk.stretch * off, kNoId);
    }

    /// The best of the beam to go on from. One warp.
    __device__ void pick(float highest) const {
        const u64 least = least_key(highest);
        u32 found = 0;
        for (u32 first = 0; first < walk.beam && found < walk.picks; first += kWarp) {
            const u32 at = first + lane_id();
            const u64 key = at < walk.beam ? keys[at] : 0;
            const bool is_fresh = (key & 1) != 0 && key >= least;
            const u32 fresh = __ballot_sync(kAllLanes, is_fresh);
            const u32 place = found + __popc(fresh & ((1u << lane_id()) - 1));
            if (is_fresh && place < walk.picks) {
                picked[place] = row_of(key);
                keys[at] = key & ~1ull;
            }
            found += __popc(fresh);
        }
        if (lane_id() == 0) picked[walk.picks] = min(found, walk.picks);
    }

    __device__ void run(const u32* entries, u32 entry_count) const {
        u32 count = entry_count;
        const float top = highest();
        score(entries, count);
        for (u32 round = 0; round < walk.rounds; ++round) {
            block_sort(keys, walk.beam + count);
            if (warp_id() == 0) pick(top);
            __syncthreads();
            const u32 found = picked[walk.picks];
            if (found == 0) return;
            count = found * graph.degree;
            score(nullptr, count);
        }
        block_sort(keys, walk.beam + count);
    }

    /// Exact keys of the best that may answer, sorted; out: the first k.
    __device__ void finish(WideKey* exact, double* out_keys, u32* out_ids) const {
        for (u32 i = warp_id(); i < answers.rerank; i += blockDim.x / kWarp) {
            const u64 key = i < walk.beam ? keys[i] : 0;
            WideKey wide = {};
            if (key != 0 && answers.takes(row_of(key))) wide = exact_key_of(row_of(key));
            if (lane_id() == 0) exact[i] = wide;
        }
        block_sort(exact, answers.rerank);
        for (u32 j = threadIdx.x; j < answers.k; j += blockDim.x) {
            const WideKey key = j < answers.rerank ? exact[j] : WideKey{};
            out_keys[j] = score_of(key);
            out_ids[j] = id_of(key);
        }
    }

    __device__ WideKey exact_key_of(u32 row) const {
        const double norm = rows.metric == kCosine ? norms[row] : 1.0;
        const double score =
            exact_key(q, rows.elements + row * rows.stride, rows.dim, rows.metric, norm);
        return is_finite(score) ? key_of(score, row) : WideKey{};
    }
};

}  // namespace
}  // namespace nearfield

/// entries: entry_count a query. scale, norms: 1 / |x| and |x|, for cosine. Strides in elements. A query
/// that finds fewer than k has -infinity and kNoId.
#define NEARFIELD_GRAPH_SEARCH(T)                                                                  \
    extern "C" __global__ void graph_search_##T(                                                   \
        const float* queries, nearfield::u64 query_stride, const nearfield::T* rows,               \
        nearfield::u64 stride, nearfield::u32 row_count, nearfield::u32 dim,                       \
        nearfield::u32 metric, float unit, const float* scale, const double* norms,                \
        const nearfield::u32* links, nearfield::u32 degree, const nearfield::u32* entries,         \
        nearfield::u32 entry_count, nearfield::u32 beam, nearfield::u32 picks,                     \
        nearfield::u32 rounds, nearfield::u32 horizon, float stretch, float length,                \
        nearfield::u32 answering, const nearfield::u8* mask, nearfield::u32 rerank,                \
        nearfield::u32 k, nearfield::u32* visited, nearfield::u32 table_size, double* out_keys,    \
        nearfield::u32* out_ids) {                                                                 \
        using namespace nearfield;                                                                 \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                          \
        const u64 number = blockIdx.x;                                                             \
        WideKey* const exact = reinterpret_cast<WideKey*>(shared);                                 \
        u64* const keys = reinterpret_cast<u64*>(exact + rerank);                                  \
        float* const q = reinterpret_cast<float*>(keys + beam + max(entry_count, picks * degree)); \
        u32* const picked = reinterpret_cast<u32*>(q + dim);                                       \
        u32* const table =                                                                         \
            visited != nullptr ? visited + number * table_size : picked + picks + 1;               \
        for (u32 d = threadIdx.x; d < dim; d += blockDim.x) {                                      \
            q[d] = queries[number * query_stride + d];                                             \
        }                                                                                          \
        for (u32 i = threadIdx.x; i < beam; i += blockDim.x) keys[i] = 0;                          \
        for (u32 i = threadIdx.x; i < table_size; i += blockDim.x) table[i] = kNoId;               \
        __syncthreads();                                                                           \
        const Search<T> search = {{rows, stride, dim, metric, unit, scale},                        \
                                  norms,                                                           \
                                  {links, degree, row_count},                                      \
                                  {beam, picks, rounds, horizon, stretch, length},                 \
                                  {answering, mask, rerank, k},                                    \
                                  q,                                                               \
                                  keys,                                                            \
                                  picked,                                                          \
                                  table,                                                           \
                                  table_size};                                                     \
        search.run(entries + number * entry_count, entry_count);                                   \
        search.finish(exact, out_keys + number * k, out_ids + number * k);                         \
    }                                                                                              \
    NEARFIELD_KERNEL(graph_search_##T)

NEARFIELD_GRAPH_SEARCH(f32)
NEARFIELD_GRAPH_SEARCH(f16)
NEARFIELD_GRAPH_SEARCH(bf16)
NEARFIELD_GRAPH_SEARCH(i8)
NEARFIELD_GRAPH_SEARCH(u8)

/// Queries that found fewer than `wanted`: lengths[q] = rows, else 0. keys: k a query, best first.
extern "C" __global__ void find_short_answers(const double* keys, nearfield::u32 k,
                                              nearfield::u32 wanted, nearfield::u32 queries,
                                              nearfield::u32 rows, nearfield::u32* lengths) {
    const nearfield::u32 q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= queries) return;
    const double last = keys[static_cast<nearfield::u64>(q) * k + wanted - 1];
    lengths[q] = nearfield::is_finite(last) ? 0 : rows;
}
NEARFIELD_KERNEL(find_short_answers)

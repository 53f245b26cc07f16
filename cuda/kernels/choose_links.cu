// What the nodes of a new graph are linked to, by the CPU engine's rule and by its distances, and links back.
//
// choose_links: of a node's candidates, nearest first, those that no nearer chosen one stands before: c of u is
// left out if some chosen s has slack d(s, c) <= d(u, c). Then links run both ways, for the nodes of a slice at
// a time: count_links and place_links bring what a node chose and who chose it to one place, in any order;
// link_back sorts them, and a node with more of them than `width` chooses among the `considered` nearest again.
// d: of rows in bytes (index/hnsw/byte_rows.h), from whole numbers in float64, the CPU's bits. Ties go to the
// smaller node, so the links are the CPU's.
//
// A link is a key of minus the distance: the larger key is the nearer node. codes: rows of `stride` bytes, a
// multiple of 64, excess 128; terms: scale, sum and square of each. Rows below 2^31.
// Blocks of a multiple of 32 threads. Four lanes share a pair of rows.
// Cost: for each chosen link a byte product with every candidate after it that is not left out yet; a sort.
// Source: cpp/index/hnsw/choose_links.h and back_links.h; Malkov & Yashunin (1603.09320), Algorithms 1 and 4.

#include "key.cuh"
#include "sort.cuh"

namespace nearfield {
namespace {

constexpr u32 kLanesOfPair = 4;
constexpr u32 kTerms = 3;
constexpr u32 kSigns = 0x80808080u;  // between bytes of excess 128 and signed ones

struct ByteRows {
    const u8* codes;
    u64 stride;
    const u32* terms;
    bool by_distance;

    /// How far a is from b, in all four lanes of the pair. All lanes of a warp call it.
    __device__ float distance(u32 a, u32 b) const {
        const Chunk* const x = reinterpret_cast<const Chunk*>(codes + a * stride);
        const Chunk* const y = reinterpret_cast<const Chunk*>(codes + b * stride);
        i32 product = 0;
        for (u32 at = threadIdx.x % kLanesOfPair; at < stride / sizeof(Chunk); at += kLanesOfPair) {
            const Chunk p = x[at], q = y[at];
            for (u32 w = 0; w < 4; ++w) {
                product = __dp4a(static_cast<i32>(p.word[w] ^ kSigns),
                                 static_cast<i32>(q.word[w] ^ kSigns), product);
            }
        }
        for (i32 step = 1; step < static_cast<i32>(kLanesOfPair); step *= 2) {
            product += __shfl_xor_sync(kAllLanes, product, step);
        }
        const double inner = scale(a) * scale(b) * product;
        if (!by_distance) return static_cast<float>(-inner);
        const double squared = square(a) + square(b) - 2.0 * inner;
        return static_cast<float>(squared > 0.0 ? squared : 0.0);
    }

private:
    __device__ double scale(u32 row) const { return __uint_as_float(terms[u64{kTerms} * row]); }
    __device__ double square(u32 row) const {
        return scale(row) * scale(row) * static_cast<i32>(terms[u64{kTerms} * row + 2]);
    }
};

__device__ u64 link_to(float distance, u32 node) { return key_of(-distance, node); }
__device__ float distance_of(u64 link) { return -score_of(link); }

/// Links of a block, and which of them are left out.
struct Candidates {
    u64* links;
    u8* is_out;
    u32 count;

    /// Nearest first; those that are none or there already are out.
    __device__ void sort() const {
        block_sort(links, count);
        for (u32 i = threadIdx.x; i < count; i += blockDim.x) mark(i);
        __syncthreads();
    }

    /// Of links that lie in order, the first `most` alone.
    __device__ void mark(u32 i) const {
        is_out[i] = links[i] == 0 || (i > 0 && links[i] == links[i - 1]);
    }

    /// Calls take(i-th, link) of one thread for up to `most`. All threads call it, after a barrier.
    template <class Take>
    __device__ u32 choose(const ByteRows& rows, float slack, u32 most, const Take& take) const {
        u32 chosen = 0;
        for (u32 at = 0; at < count && chosen < most; ++at) {
            if (is_out[at] != 0) continue;
            const u64 link = links[at];
            if (threadIdx.x == 0) take(chosen, link);
            if (++chosen < most) leave_out(rows, slack, at);
        }
        return chosen;
    }

private:
    /// Those after `at` that the link there stands before.
    __device__ void leave_out(const ByteRows& rows, float slack, u32 at) const {
        const u32 node = id_of(links[at]), pairs = blockDim.x / kLanesOfPair;
        for (u32 first = at + 1; first < count; first += pairs) {
            const u32 i = first + threadIdx.x / kLanesOfPair;
            const bool is_in = i < count && is_out[i] == 0;
            if (__ballot_sync(kAllLanes, is_in) == 0) continue;
            const float between = rows.distance(node, is_in ? id_of(links[i]) : node);
            if (is_in && threadIdx.x % kLanesOfPair == 0 &&
                slack * between <= distance_of(links[i])) {
                is_out[i] = 1;
            }
        }
        __syncthreads();
    }
};

}  // namespace
}  // namespace nearfield

/// Of nodes first .. first + blocks - 1. nearest: k ids a node, -1 where there are fewer; far_begin, far: more
/// candidates of each, any of them twice, up to `room` - k. chosen: `most` keys a node, 0 where there are fewer.
/// held: 9 room bytes a block, rounded up to 8, or null and in shared memory.
extern "C" __global__ void __launch_bounds__(128)
    choose_links(const nearfield::u8* codes, nearfield::u64 stride, const nearfield::u32* terms,
                 nearfield::u32 by_distance, float slack, nearfield::u32 first,
                 const nearfield::i64* nearest, nearfield::u32 k, const nearfield::u32* far_begin,
                 const nearfield::u32* far, nearfield::u32 room, nearfield::u8* held,
                 nearfield::u32 most, nearfield::u64* chosen) {
    using namespace nearfield;
    NEARFIELD_DYNAMIC_SHARED(shared);
    const ByteRows rows{codes, stride, terms, by_distance != 0};
    const u32 node = first + blockIdx.x;
    u8* const memory = held != nullptr ? held + u64{blockIdx.x} * round_up(9 * room, 8) : shared;
    u64* const links = reinterpret_cast<u64*>(memory);
    const u32* const others = far + far_begin[blockIdx.x];
    const u32 count = k + far_begin[blockIdx.x + 1] - far_begin[blockIdx.x];
    for (u32 begin = 0; begin < count; begin += blockDim.x / kLanesOfPair) {
        const u32 i = begin + threadIdx.x / kLanesOfPair;
        i64 id = -1;
        if (i < count) id = i < k ? nearest[u64{blockIdx.x} * k + i] : i64{others[i - k]};
        const bool is_there = id >= 0 && id != node;
        const float distance = rows.distance(node, is_there ? static_cast<u32>(id) : node);
        if (i < count && threadIdx.x % kLanesOfPair == 0) {
            links[i] = is_there ? link_to(distance, static_cast<u32>(id)) : 0;
        }
    }
    const Candidates candidates{links, memory + 8 * u64{room}, count};
    candidates.sort();
    u64* const to = chosen + u64{node} * most;
    const u32 n = candidates.choose(rows, slack, most, [&](u32 i, u64 link) { to[i] = link; });
    for (u32 i = n + threadIdx.x; i < most; i += blockDim.x) to[i] = 0;
}
NEARFIELD_KERNEL(choose_links)

/// counts, zero before: how many links a node has with those back, any of them twice. A thread a key.
extern "C" __global__ void count_links(const nearfield::u64* chosen, nearfield::u64 keys,
                                       nearfield::u32 most, nearfield::u32* counts) {
    using namespace nearfield;
    const u64 at = u64{blockIdx.x} * blockDim.x + threadIdx.x;
    if (at >= keys || chosen[at] == 0) return;
    atomicAdd(&counts[at / most], 1u);
    atomicAdd(&counts[id_of(chosen[at])], 1u);
}
NEARFIELD_KERNEL(count_links)

/// Links of nodes first .. first + count - 1, those of the i-th from begin[i] on; placed, zero before: how many
/// are there already. A thread a key.
extern "C" __global__ void place_links(const nearfield::u64* chosen, nearfield::u64 keys,
                                       nearfield::u32 most, nearfield::u32 first,
                                       nearfield::u32 count, const nearfield::u32* begin,
                                       nearfield::u32* placed, nearfield::u64* links) {
    using namespace nearfield;
    const u64 at = u64{blockIdx.x} * blockDim.x + threadIdx.x;
    if (at >= keys || chosen[at] == 0) return;
    const u64 key = chosen[at];
    const u32 from = static_cast<u32>(at / most), to = id_of(key);
    if (from - first < count)
        links[begin[from - first] + atomicAdd(&placed[from - first], 1u)] = key;
    if (to - first < count) {
        links[begin[to - first] + atomicAdd(&placed[to - first], 1u)] =
            link_to(distance_of(key), from);
    }
}
NEARFIELD_KERNEL(place_links)

/// Of a node a block, as place_links has them. They are sorted in shared memory where there are up to `room` of
/// them, else where they lie. out: `width` nodes each, kNoId where there are fewer. Shared memory: 8 room +
/// 2 considered.
extern "C" __global__ void __launch_bounds__(128)
    link_back(const nearfield::u8* codes, nearfield::u64 stride, const nearfield::u32* terms,
              nearfield::u32 by_distance, float slack, const nearfield::u32* begin,
              nearfield::u64* placed, nearfield::u32 room, nearfield::u32 considered,
              nearfield::u32 width, nearfield::u32* out) {
    using namespace nearfield;
    NEARFIELD_DYNAMIC_SHARED(shared);
    const ByteRows rows{codes, stride, terms, by_distance != 0};
    const u32 count = begin[blockIdx.x + 1] - begin[blockIdx.x];
    u64* const there = placed + begin[blockIdx.x];
    u64* const links = count <= room ? reinterpret_cast<u64*>(shared) : there;
    if (links != there) {
        for (u32 i = threadIdx.x; i < count; i += blockDim.x) links[i] = there[i];
    }
    block_sort(links, count);
    // A link is there twice at most: from either side.
    Candidates candidates{links, shared + 8 * u64{room}, min(count, 2 * considered)};
    for (u32 i = threadIdx.x; i < candidates.count; i += blockDim.x) candidates.mark(i);
    __syncthreads();
    u32 different = 0, end = 0;
    for (; end < candidates.count && different < considered; ++end) {
        different += candidates.is_out[end] == 0;
    }
    candidates.count = end;
    __syncthreads();  // before any of them is left out
    u32* const to = out + u64{blockIdx.x} * width;
    const auto take = [&](u32 i, u64 link) { to[i] = id_of(link); };
    u32 kept = 0;
    if (different > width) {
        kept = candidates.choose(rows, slack, width, take);
    } else {
        for (u32 i = 0; i < end; ++i) {
            if (candidates.is_out[i] != 0) continue;
            if (threadIdx.x == 0) take(kept, links[i]);
            ++kept;
        }
    }
    for (u32 i = kept + threadIdx.x; i < width; i += blockDim.x) to[i] = kNoId;
}
NEARFIELD_KERNEL(link_back)

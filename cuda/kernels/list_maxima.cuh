// Group maxima of the lists that each query probes, list by list: every list is read once for all queries
// that want it.
//
// A pair is a query and one of its probes, number q * nprobe + j. Pairs sorted by list (sort_pairs.cu) give
// each list its queries: pairs[first[l]] to pairs[first[l + 1]]. An item is up to QM pairs of a list times RN
// of its rows; items[l] says how many items the lists before l have (count_items, then place_of_counts).
// Blocks take items in turn, so the grid may have any size. Where maxima go: query q, probe j, group g at
// maxima[q * stride + places[q * (nprobe + 1) + j] + g] (place_probes). Rows lie in the order of lists,
// list l from offsets[l] on. Scores, tiles and shared memory are those of group_maxima.cuh.
// Cost: 2 dim a pair of query and probed row. Source: own; list-major order after Johnson et al. (1702.08734).
#pragma once

#include "scan_tile.cuh"

namespace nearfield {
namespace {

struct Lists {
    const u32* offsets;  // lists + 1
    const u32* items;    // lists + 1
    const u32* pairs;    // sorted by list
    const u32* first;    // lists + 1
    const u32* places;   // nprobe + 1 a query
    u32 count;
    u32 nprobe;
};

/// One block's part of a list: some of its pairs and rows.
struct Item {
    u32 list, first_pair, pairs, first_row;

    __device__ Item(const Lists& lists, u32 number, u32 qm, u32 rn) {
        u32 low = 0, high = lists.count;
        while (high - low > 1) {
            const u32 middle = (low + high) / 2;
            (lists.items[middle] <= number ? low : high) = middle;
        }
        list = low;
        const u32 inside = number - lists.items[list];
        const u32 all = lists.first[list + 1] - lists.first[list];
        const u32 across = (all + qm - 1) / qm;
        first_pair = lists.first[list] + inside % across * qm;
        pairs = min(qm, lists.first[list + 1] - first_pair);
        first_row = lists.offsets[list] + inside / across * rn;
    }
};

template <class Tile>
__device__ __forceinline__ void scan_item(const Lists& lists, const Item& item, const Rows& queries,
                                          const Rows& rows, const Scoring& all, float* maxima,
                                          u64 stride, u8* shared) {
    const u32 begin = lists.offsets[item.list], end = lists.offsets[item.list + 1];
    const u32* const pairs = lists.pairs + item.first_pair;
    const Rows gathered = {queries.data,  queries.stride, item.pairs,
                           queries.depth, pairs,          lists.nprobe};
    const Rows inside = {rows.data, rows.stride, end, rows.depth};
    Scoring scoring = all;
    scoring.rows = end;
    Tile tile;
    over_slices<Tile::QM, Tile::RN>(gathered, inside, 0, item.first_row, shared,
                                    [&](const u8* q, const u8* x) { tile.add(q, x); });
#pragma unroll
    for (u32 part = 0; part < Tile::kParts; ++part) {
        const u32 at = Tile::query_of(part);
        const bool is_pair = at < item.pairs;
        const u32 pair = is_pair ? pairs[at] : 0, q = pair / lists.nprobe;
        const float unit = scoring.unit_of(q);
        const i32 init = scoring.init_of(q);
#pragma unroll
        for (u32 first = 0; first < Tile::kCells; first += Tile::kGroupCells) {
            const float best =
                group_maximum(tile, part, first, item.first_row, scoring, unit, init);
            const u32 row = item.first_row + Tile::row_of(first);
            if (lane_id() % Tile::kShare == 0 && is_pair && row < end) {
                const u32 place = lists.places[pair + q];  // a query has one place more than probes
                maxima[q * stride + place + (row - begin) / kGroupRows] = best;
            }
        }
    }
}

template <class Tile>
__device__ void scan_lists(const Lists& lists, const Rows& queries, const Rows& rows,
                           const Scoring& scoring, float* maxima, u64 stride, u8* shared) {
    const u32 items = lists.items[lists.count];
    for (u32 number = blockIdx.x; number < items; number += gridDim.x) {
        const Item item(lists, number, Tile::QM, Tile::RN);
        __syncthreads();  // the last slice of the item before has been read
        scan_item<Tile>(lists, item, queries, rows, scoring, maxima, stride, shared);
    }
}

}  // namespace
}  // namespace nearfield

/// Strides of queries and rows in bytes; depth: bytes of a row.
#define NEARFIELD_LIST_MAXIMA(NAME, WAY, QM, RN)                                                \
    extern "C" __global__ void __launch_bounds__(256, 2) NAME(                                  \
        const nearfield::u8* queries, nearfield::u64 query_stride, nearfield::u32 query_count,  \
        const nearfield::u8* rows, nearfield::u64 row_stride, nearfield::u32 row_count,         \
        nearfield::u32 depth, const float* scale, const float* bias, const float* unit,         \
        const nearfield::i32* init, const nearfield::u32* offsets, const nearfield::u32* items, \
        const nearfield::u32* pairs, const nearfield::u32* first, const nearfield::u32* places, \
        nearfield::u32 lists, nearfield::u32 nprobe, float* maxima, nearfield::u64 stride) {    \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                       \
        nearfield::scan_lists<nearfield::TileBy<nearfield::WAY, QM, RN>::Type>(                 \
            {offsets, items, pairs, first, places, lists, nprobe},                              \
            {queries, query_stride, query_count, depth}, {rows, row_stride, row_count, depth},  \
            {scale, bias, unit, init, query_count, row_count}, maxima, stride, shared);         \
    }                                                                                           \
    NEARFIELD_KERNEL(NAME)

#include "cuda/search/row_map.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cuda/runtime/launch.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "map_rows.cu";
constexpr std::size_t kFewRows = 32;  // that sorting takes more launches than it saves blocks
constexpr unsigned kThreads = 128;
constexpr std::size_t kTileRows = 8;
constexpr std::size_t kSharedFloats = 24 * 1024;  // 96 KB, which every device has
constexpr std::size_t kMostBlocks = 1 << 16;
constexpr std::size_t kScratchBlocks = 256;
constexpr std::size_t kSortThreads = 256;
constexpr std::size_t kSortedEach = 16 * kSortThreads;  // numbers of a block

/// As the kernels number them (kernels/map_tile.cuh).
u32 element_type(DType dtype) {
    switch (dtype) {
        case DType::kF32: return 0;
        case DType::kF16: return 1;
        case DType::kBF16: return 2;
        case DType::kI8: return 3;
        case DType::kU8: return 4;
    }
    return 0;
}

/// Floats a block takes for tiles of so many rows.
std::size_t floats_of(const RowMap& map, std::size_t rows) {
    return rows * ((map.has_spare ? 2 : 1) * map.widest + map.hidden + map.partials);
}

}  // namespace

RowMapper::RowMapper(const RowMap& map, std::size_t given, Scratch& scratch)
    : map_(map), given_(given) {
    const bool are_few = map_.numbers != 0 && given <= kFewRows;
    if (!are_few && floats_of(map_, kTileRows) <= kSharedFloats) tile_ = kTileRows;
    sorts_ = map_.numbers != 0 && tile_ != 1;
    floats_ = floats_of(map_, tile_);
    shared_ = floats_ <= kSharedFloats;
    if (!shared_) memory_ = scratch.take(kScratchBlocks * floats_ * sizeof(float));
    if (!sorts_) return;
    order_ = scratch.take(given * sizeof(u32));
    moved_ = scratch.take(given * sizeof(u32));
    for (std::size_t& at : sorted_) at = scratch.take(given * sizeof(u32));
    counts_ = scratch.take(256 * blocks_of(given, kSortedEach) * sizeof(u32));
    offsets_ = scratch.take((map_.count + 3) * sizeof(u32));
}

/// Rows by number, eight bits at a time; the last pass ends in order_ and sorted_[0].
void RowMapper::sort(const StreamRef& stream, CUdeviceptr at) const {
    unsigned passes = 1;
    while (passes < 4 && (map_.count + 1) >> (8 * passes) != 0) ++passes;
    const Grid grid{{blocks_of(given_, kSortedEach), 1, 1}, {kSortThreads, 1, 1}, 0};
    CUdeviceptr numbers = map_.numbers, values = 0;
    for (unsigned pass = 0; pass < passes; ++pass) {
        const bool ends = (passes - pass) % 2 == 1;
        const CUdeviceptr to = at + sorted_[ends ? 0 : 1], moved = at + (ends ? order_ : moved_);
        launch(stream, {"sort_pairs.cu", "digit_counts"}, grid, numbers, static_cast<u32>(given_),
               static_cast<u32>(kSortedEach), static_cast<u32>(8 * pass), at + counts_);
        launch(stream, {"sort_pairs.cu", "place_of_counts"}, {{1, 1, 1}, {kSortThreads, 1, 1}, 0},
               at + counts_, u32{256} * grid.blocks[0]);
        launch(stream, {"sort_pairs.cu", "move_by_digit"}, grid, numbers, values,
               static_cast<u32>(given_), static_cast<u32>(kSortedEach), static_cast<u32>(8 * pass),
               at + counts_, to, moved);
        numbers = to;
        values = moved;
    }
    launch(stream, {"sort_pairs.cu", "offsets_of_numbers"},
           {{blocks_of(given_ + 1, kSortThreads), 1, 1}, {kSortThreads, 1, 1}, 0}, numbers,
           static_cast<u32>(given_), static_cast<u32>(map_.count + 2), at + offsets_);
}

/// What both kernels are told of the rows and their programs, and then `more`.
template <class... More>
void RowMapper::enqueue(const StreamRef& stream, const char* source, const std::string& name,
                        const DeviceRows& in, CUdeviceptr at, const More&... more) const {
    if (in.rows * map_.per_query != given_) {
        throw std::invalid_argument("a map to " + std::to_string(given_) + " rows was given " +
                                    std::to_string(in.rows));
    }
    if (given_ == 0) return;
    if (sorts_) sort(stream, at);
    const std::string kernel = name + (tile_ == 1 ? "_1" : "_8");
    const std::size_t tiles = (given_ + tile_ - 1) / tile_ + (sorts_ ? map_.count + 2 : 0);
    const auto blocks =
        static_cast<unsigned>(std::min(tiles, shared_ ? kMostBlocks : kScratchBlocks));
    launch(stream, {source, kernel.c_str()},
           {{blocks, 1, 1}, {kThreads, 1, 1}, shared_ ? floats_ * sizeof(float) : 0}, in.address,
           u64{in.stride}, element_type(in.dtype), static_cast<u32>(in.cols),
           static_cast<u32>(given_), static_cast<u32>(map_.per_query), map_.programs,
           static_cast<u32>(map_.count), sorts_ ? CUdeviceptr{0} : map_.numbers,
           sorts_ ? at + order_ : CUdeviceptr{0}, sorts_ ? at + offsets_ : CUdeviceptr{0},
           map_.bags, static_cast<u32>(map_.vocabulary), shared_ ? CUdeviceptr{0} : at + memory_,
           static_cast<u32>(floats_), static_cast<u32>(map_.widest), static_cast<u32>(map_.hidden),
           static_cast<u32>(map_.has_spare), static_cast<u32>(tiles), more...);
}

void RowMapper::run(const StreamRef& stream, const DeviceRows& in, const DeviceRows& out,
                    CUdeviceptr at) const {
    if (out.rows != given_) {
        throw std::invalid_argument("a map to " + std::to_string(given_) + " rows was given " +
                                    std::to_string(out.rows) + " to fill");
    }
    enqueue(stream, kSource, "map_rows", in, at, out.address, element_type(out.dtype),
            u64{out.stride}, static_cast<u32>(out.cols), map_.is_beyond);
}

void RowMapper::run_prepared(const StreamRef& stream, const DeviceRows& in, CUdeviceptr out,
                             std::size_t columns, const PreparedForm& form, CUdeviceptr at) const {
    enqueue(stream, "map_queries.cu", "map_queries", in, at, map_.is_beyond, out,
            static_cast<u32>(columns), kernel_metric(form.metric), form.limits,
            element_type(form.dtype), form.prepared, u64{form.stride}, form.unit, form.margin,
            form.norms, std::int32_t{0}, form.init);
}

void numbers_of_ids(const StreamRef& stream, CUdeviceptr ids, bool are_wide, std::size_t rows,
                    std::size_t count, CUdeviceptr numbers) {
    if (rows == 0) return;
    launch(stream, {kSource, are_wide ? "numbers_of_ids_i64" : "numbers_of_ids_i32"},
           {{blocks_of(rows, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, ids, static_cast<u32>(rows),
           static_cast<u32>(count), numbers);
}

}  // namespace nearfield::cuda

// What a search on a device is asked, and the scratch memory it works in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/types.h"
#include "cuda/runtime/driver_api.h"

namespace nearfield::cuda {

/// A matrix on a device, rows `stride` elements apart.
struct DeviceRows {
    CUdeviceptr address = 0;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t stride = 0;
    DType dtype = DType::kF32;
};

struct RowMap {
    CUdeviceptr programs = 0;  // Program, see kernels/row_maps.cuh
    std::size_t count = 1;     // of them
    CUdeviceptr numbers = 0;  // uint32 per row given: 0 none, n program n - 1; 0: the first for all
    CUdeviceptr bags = 0;     // of modulation, see Bags
    std::size_t vocabulary = 0;  // likewise
    std::size_t per_query = 1;   // rows given for each taken
    std::size_t widest = 0;      // columns between any two steps
    std::size_t hidden = 0;      // the widest hidden layer
    std::size_t partials = 0;    // see multiply() in kernels/engine_math.cuh, for one row
    bool has_spare = false;      // a step needs its rows twice
    CUdeviceptr is_beyond =
        0;  // uint32 that becomes 1 where a row given is not finite; 0: nobody asks
};

/// What the queries of a search are the maps of.
struct Unmapped {
    DeviceRows rows;
    RowMap map;
};

/// A linear map of the rows, float64: see fold_queries in kernels/folded.cu.
struct FoldedMap {
    CUdeviceptr left = 0;  // 0: a matrix
    CUdeviceptr weights = 0;
    CUdeviceptr right = 0;
    std::size_t rank = 0;
    CUdeviceptr lengths = 0;  // of mapped rows; 0 under ip
};

/// How rows are scanned. By thresholds: big batches only; by bytes: float rows that have them beside; what
/// does not suit by groups all the same.
enum class Scan { kGroups, kThresholds, kBytes };

struct SearchRequest {
    DeviceRows queries;
    DeviceRows rows;
    Metric metric = Metric::kL2;
    std::size_t k = 1;
    CUdeviceptr mask = 0;       // one byte per row, zero for no; 0: every row may answer
    CUdeviceptr labels = 0;     // int64 per row; 0: a row is called by its number
    CUdeviceptr constants = 0;  // of the rows, by RowConstants; 0: computed by every search
    bool exclude_self = false;
    Scan scan = Scan::kGroups;
    CUdeviceptr bytes = 0;                            // ByteRows of the rows; 0: none
    std::optional<Unmapped> unmapped = std::nullopt;  // `queries` then has no address
    std::optional<FoldedMap> fold = std::nullopt;     // rows are searched as it maps them
};

/// Where results go: queries x k int64 and float32, queries int64.
struct SearchOut {
    CUdeviceptr ids = 0;
    CUdeviceptr scores = 0;
    CUdeviceptr counts = 0;
    CUdeviceptr keys = 0;  // queries x k float64 that results of other rows compare with; 0: no
};

/// Queries [first, first + count) of a request, dense and float32.
struct QueryTile {
    CUdeviceptr queries = 0;
    std::size_t first = 0;
    std::size_t count = 0;
};

/// Pairs of a float64 key and a row, `found` a query.
struct Pairs {
    CUdeviceptr keys = 0;
    CUdeviceptr rows = 0;
};

/// Hands out parts of scratch memory, by offset.
class Scratch {
public:
    std::size_t take(std::size_t bytes) {
        const std::size_t at = bytes_;
        bytes_ += round_up(bytes, 256);
        return at;
    }
    std::size_t bytes() const noexcept { return bytes_; }

private:
    std::size_t bytes_ = 0;
};

inline constexpr std::size_t kGroupRows = 32;  // rows of which a scan keeps one maximum

/// Blocks for `count` things, `each` of them to a block.
constexpr unsigned blocks_of(std::size_t count, std::size_t each) noexcept {
    return static_cast<unsigned>((count + each - 1) / each);
}

constexpr bool are_bytes(DType dtype) noexcept {
    return dtype == DType::kI8 || dtype == DType::kU8;
}

/// As the kernels number them (kernels/device.cuh).
constexpr std::uint32_t kernel_metric(Metric metric) noexcept {
    switch (metric) {
        case Metric::kIp: return 0;
        case Metric::kL2: return 1;
        case Metric::kCosine: return 2;
    }
    return 0;
}

/// As the kernels name them.
constexpr const char* suffix(DType dtype) noexcept {
    switch (dtype) {
        case DType::kF32: return "f32";
        case DType::kF16: return "f16";
        case DType::kBF16: return "bf16";
        case DType::kI8: return "i8";
        case DType::kU8: return "u8";
    }
    return "";
}

}  // namespace nearfield::cuda

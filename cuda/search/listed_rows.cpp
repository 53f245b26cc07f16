#include "cuda/search/listed_rows.h"

#include <algorithm>
#include <functional>

namespace nearfield::cuda {
namespace {

std::vector<std::size_t> sums_of(const std::vector<std::size_t>& sorted) {
    std::vector<std::size_t> out{0};
    for (const std::size_t one : sorted) out.push_back(out.back() + one);
    return out;
}

}  // namespace

ListSizes::ListSizes(std::span<const std::uint32_t> rows_of_lists) {
    std::vector<std::size_t> rows(rows_of_lists.begin(), rows_of_lists.end());
    std::sort(rows.begin(), rows.end());
    fewest_rows_ = sums_of(rows);
    longest_ = rows.empty() ? 0 : rows.back();
    for (std::size_t& one : rows) one = (one + kGroupRows - 1) / kGroupRows;
    std::reverse(rows.begin(), rows.end());
    most_groups_ = sums_of(rows);
}

ScanForm scan_form(DType dtype) noexcept {
    constexpr const char* kFloats = "list_maxima_floats.cu";
    constexpr const char* kBytes = "list_maxima_u8.cu";
    switch (dtype) {
        case DType::kF32:
            return {"f32", "f32", kFloats, "list_maxima_f32_q64", 64, 128, 4, false, 0};
        case DType::kF16:
            return {"f16", "f16", kFloats, "list_maxima_f16_q32", 32, 256, 2, false, 0};
        case DType::kBF16:
            return {"bf16", "bf16", kFloats, "list_maxima_bf16_q32", 32, 256, 2, false, 0};
        case DType::kI8: return {"e8", "i8", kBytes, "list_maxima_u8_q32", 32, 256, 1, true, 128};
        case DType::kU8: return {"u8", "i8", kBytes, "list_maxima_u8_q32", 32, 256, 1, true, 0};
    }
    return {};
}

ListRequest ListRequest::resolved() const noexcept {
    const std::size_t lists = listed.sizes.lists();
    const bool all_answer = k >= listed.sizes.rows();
    return {queries,
            listed,
            metric,
            k,
            all_answer ? lists : std::min(nprobe, lists),
            all_answer ? std::numeric_limits<double>::infinity() : margin,
            mask,
            labels,
            all_answer ? 0 : groups};
}

}  // namespace nearfield::cuda

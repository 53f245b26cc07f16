#include "index/decoded_block.h"

#include <algorithm>

namespace nearfield {
namespace {

/// Rows decoded at a time: their floats stay in L1 until they are bytes.
constexpr std::size_t kDecoded = 16;

}  // namespace

CodeSpec decoded_spec(const StoredRows& rows) noexcept {
    const CodeSpec& kept = rows.codes.spec;
    const Metric metric = kept.metric == Metric::kCosine ? Metric::kIp : kept.metric;
    return {metric, DType::kF32, kept.dim, unit_for(rows.coded->max_norm), ScanKind::kBytes};
}

DecodedBlock::DecodedBlock(const CodeSpec& spec)
    : rows_(kDecoded * spec.dim),
      wide_(spec.dim),
      // A scan reads whole cache lines, past the end of short rows.
      codes_((kBlockRows + 1) * std::max<std::size_t>(code_stride(spec), 64)),
      scale_(kBlockRows),
      bias_(kBlockRows),
      view_{spec,          codes_.data(), code_stride(spec), 0,
            scale_.data(), scale_.data(), bias_.data(),      &error_} {
    if (spec.metric != Metric::kL2) view_.bias = nullptr;
}

void DecodedBlock::fill(const DecodedRows& rows, std::size_t first, std::size_t last) {
    const std::size_t dim = view_.spec.dim;
    view_.count = last - first;
    error_ = {};
    for (std::size_t i = 0; i < view_.count; i += kDecoded) {
        const std::size_t now = std::min(kDecoded, view_.count - i);
        rows.read(first + i, now, rows_.data());
        for (std::size_t r = 0; r < now; ++r) {
            RowConstants c{};
            encode_row(view_.spec, rows_.data() + r * dim, wide_.data(),
                       codes_.data() + (i + r) * view_.stride, c);
            scale_[i + r] = c.scale;
            bias_[i + r] = c.bias;
            error_.code_norm = std::max(error_.code_norm, c.error.code_norm);
            error_.residual = std::max(error_.residual, c.error.residual);
        }
    }
}

}  // namespace nearfield

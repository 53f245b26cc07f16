#include "index/decoded_block.h"

#include <algorithm>

#include "quant/raw/exact.h"
#include "quant/raw/kinds.h"

namespace nearfield {
namespace {

/// Rows decoded at a time: their floats stay in L1 until they are bytes.
constexpr std::size_t kDecoded = 16;

}  // namespace

CodeSpec decoded_spec(const StoredRows& rows) noexcept {
    const CodeSpec& kept = rows.codes.spec;
    CodeSpec spec{kept.metric, DType::kF32, kept.dim, unit_for(rows.coded->max_norm),
                  ScanKind::kBytes};
    const double longest = rows.coded->max_norm;
    if (rows.is_reweighted() && kept.metric == Metric::kCosine) {
        spec.unit = 1.0;
        spec.reach = reach_of(rows.by_signs() ? kept.reach : rows.coded->longest * longest);
        return spec;
    }
    if (kept.metric == Metric::kCosine) spec.metric = Metric::kIp;
    if (rows.is_folded) spec.reach = reach_of(longest * spec.unit);
    return spec;
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

void DecodedBlock::fill(const StoredRows& rows, std::size_t first, std::size_t last) {
    const std::size_t dim = view_.spec.dim;
    const bool is_kept = rows.by_signs();
    const double* norms = nullptr;
    if (rows.is_reweighted()) norms = (is_kept ? rows.norms : rows.coded->norms) + first;
    view_.count = last - first;
    error_ = {};
    for (std::size_t i = 0; i < view_.count; i += kDecoded) {
        const std::size_t now = std::min(kDecoded, view_.count - i);
        if (is_kept) {
            for (std::size_t r = 0; r < now; ++r) {
                widen(rows.rows.dtype, rows.rows.row(first + i + r), rows_.data() + r * dim, dim);
            }
        } else {
            rows.coded->rows.read(first + i, now, rows_.data());
        }
        for (std::size_t r = 0; r < now; ++r) {
            RowConstants c{};
            encode_row(view_.spec, rows_.data() + r * dim, wide_.data(),
                       codes_.data() + (i + r) * view_.stride, c);
            scale_[i + r] = c.scale;
            bias_[i + r] = c.bias;
            if (norms != nullptr) reweigh(norms, i + r, c);
            error_.code_norm = std::max(error_.code_norm, c.error.code_norm);
            error_.residual = std::max(error_.residual, c.error.residual);
        }
    }
}

/// Where lengths count, that of the mapped row does. norms: as ExactScorer takes them.
void DecodedBlock::reweigh(const double* norms, std::size_t i, const RowConstants& c) noexcept {
    const double norm = norms[i];
    if (view_.spec.metric == Metric::kCosine) {
        scale_[i] =
            norm > 0.0 ? static_cast<float>(static_cast<double>(c.scale) * c.norm / norm) : 0.0f;
    } else {
        RowConstants mapped = c;
        set_scale(view_.spec, 1.0, norm, mapped);
        bias_[i] = mapped.bias;
    }
}

}  // namespace nearfield

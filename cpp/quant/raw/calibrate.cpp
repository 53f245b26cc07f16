#include "quant/raw/calibrate.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <vector>

#include "kernels/resolve.h"
#include "quant/raw/exact.h"
#include "quant/raw/query.h"
#include "quant/raw/scan.h"

namespace nearfield {
namespace {

constexpr std::size_t kSample = kBlockRows;
constexpr std::size_t kQueries = kernels::kGroup;
/// The share of the sample that bfloat16 must exclude beyond what bytes do. AMX multiplies it at twice
/// the price of bytes, other levels at four times. minilm-debian, glove100 and sift give 0.002 to 0.009;
/// the same with one dimension 50 times as large 0.17 to 0.52 under l2 and cosine.
constexpr double kWorthTwice = 0.05;
constexpr double kWorthFourfold = 0.15;

/// One block of encoded rows, ready to scan.
struct Sample {
    CodeSpec spec;
    std::vector<std::uint8_t> codes;
    std::vector<float> scale, spread, bias;
    BlockError error;

    CodeView view() const noexcept {
        return {spec,
                codes.data(),
                code_stride(spec),
                scale.size(),
                scale.data(),
                spread.data(),
                spec.metric == Metric::kL2 ? bias.data() : nullptr,
                &error};
    }
};

/// Nothing when a row is not finite.
std::optional<Sample> encode_sample(CodeSpec spec, ScanKind kind, const std::vector<float>& rows) {
    spec.kind = kind;
    spec.dtype = DType::kF32;
    Sample sample{spec, {}, {}, {}, {}, {}};
    const std::size_t stride = code_stride(spec);
    sample.codes.resize(kSample * stride + 64);
    std::vector<float> wide(spec.dim);
    for (std::size_t i = 0; i < kSample; ++i) {
        RowConstants c{};
        if (!encode_row(spec, rows.data() + i * spec.dim, wide.data(),
                        sample.codes.data() + i * stride, c)) {
            return std::nullopt;
        }
        sample.scale.push_back(c.scale);
        sample.spread.push_back(c.spread);
        sample.bias.push_back(c.bias);
        sample.error.code_norm = std::max(sample.error.code_norm, c.error.code_norm);
        sample.error.residual = std::max(sample.error.residual, c.error.residual);
    }
    return sample;
}

/// The share of the sample that no bound excludes from the two nearest of a sampled row (one is the
/// row itself), on average.
double survivors(const Sample& sample, const std::vector<float>& rows) {
    const CodeView view = sample.view();
    const std::size_t apart = kSample / kQueries * view.spec.dim;
    QueryPanel panel(view.spec, rows.data(), apart, kQueries);
    panel.enter_block(sample.error);
    HitBuffer hits;
    const std::size_t n = scan_rows(view, 0, kSample, panel, hits);
    std::vector<float> upper[kQueries], lower[kQueries];
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t lane = hits.pair[i] % kernels::kPanelLanes;
        const auto row = static_cast<Id>(hits.pair[i] / kernels::kPanelLanes);
        upper[lane].push_back(hits.upper[i]);
        lower[lane].push_back(lower_bound(hits.upper[i], row, view, panel, lane));
    }
    std::size_t left = 0;
    for (std::size_t lane = 0; lane < kQueries; ++lane) {
        std::nth_element(lower[lane].begin(), lower[lane].begin() + 1, lower[lane].end(),
                         std::greater<>());
        const float floor = QueryPanel::slacken(lower[lane][1]);
        left += static_cast<std::size_t>(std::count_if(upper[lane].begin(), upper[lane].end(),
                                                       [&](float u) { return !(u < floor); }));
    }
    return static_cast<double>(left) / (kSample * kQueries);
}

}  // namespace

ScanKind choose_kind(const CodeSpec& spec, const RowsView& rows) {
    if (is_integer(spec.dtype)) return ScanKind::kBytes;
    const bool tiles = kernels::active().bf16_price == 2;
    if (spec.dtype == DType::kBF16 && tiles) return ScanKind::kBF16;
    if (rows.rows < kSample) return ScanKind::kBytes;
    std::vector<float> sampled(kSample * spec.dim);
    double largest = 0.0;
    for (std::size_t i = 0; i < kSample; ++i) {
        float* to = sampled.data() + i * spec.dim;
        widen(spec.dtype, rows.row(i * rows.rows / kSample), to, spec.dim);
        largest = std::max(largest, norm_of(to, spec.dim));
    }
    CodeSpec in_units = spec;
    if (spec.metric != Metric::kCosine && std::isfinite(largest)) in_units.unit = unit_for(largest);
    const auto bytes = encode_sample(in_units, ScanKind::kBytes, sampled);
    const auto halves = encode_sample(in_units, ScanKind::kBF16, sampled);
    if (!bytes || !halves) return ScanKind::kBytes;
    const double excess = survivors(*bytes, sampled) - survivors(*halves, sampled);
    return excess > (tiles ? kWorthTwice : kWorthFourfold) ? ScanKind::kBF16 : ScanKind::kBytes;
}

}  // namespace nearfield

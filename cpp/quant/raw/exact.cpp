#include "quant/raw/exact.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace nearfield {
namespace {

using Score = double (*)(const float*, const void*, std::size_t);

using kernels::KernelTable;

const std::uint16_t* halves(const void* p) { return static_cast<const std::uint16_t*>(p); }
const std::uint8_t* bytes(const void* p) { return static_cast<const std::uint8_t*>(p); }

/// A kernel of rows of T, as one of rows of any type; of folded queries, where it takes both parts.
template <class T, auto kKernel>
double score(const float* q, const void* x, std::size_t n) {
    const auto kernel = kernels::active().*kKernel;
    const auto* const row = static_cast<const T*>(x);
    if constexpr (requires { kernel(q, q, row, n); }) {
        return kernel(q, low_of(q, n), row, n);
    } else {
        return kernel(q, row, n);
    }
}

template <auto kF32, auto kF16, auto kBF16, auto kI8, auto kU8>
Score score_of(DType dtype) {
    switch (dtype) {
        case DType::kF32: return score<float, kF32>;
        case DType::kF16: return score<std::uint16_t, kF16>;
        case DType::kBF16: return score<std::uint16_t, kBF16>;
        case DType::kI8: return score<std::uint8_t, kI8>;
        case DType::kU8: break;
    }
    return score<std::uint8_t, kU8>;
}

Score score_of(Metric metric, DType dtype, bool is_folded) {
    using T = KernelTable;
    if (is_folded) {
        return score_of<&T::folded_ip_f32, &T::folded_ip_f16, &T::folded_ip_bf16, &T::folded_ip_i8,
                        &T::folded_ip_u8>(dtype);
    }
    if (metric == Metric::kL2) {
        return score_of<&T::l2_f32, &T::l2_f16, &T::l2_bf16, &T::l2_i8, &T::l2_u8>(dtype);
    }
    return score_of<&T::ip_f32, &T::ip_f16, &T::ip_bf16, &T::ip_i8, &T::ip_u8>(dtype);
}

}  // namespace

ExactScorer::ExactScorer(Metric metric, RowsView rows, const double* norms, bool is_folded)
    : metric_(metric),
      rows_(rows),
      norms_(norms),
      is_folded_(is_folded),
      score_(score_of(metric, rows.dtype, is_folded)) {}

ExactScorer::ExactScorer(Metric metric, const DecodedRows& rows, const double* norms,
                         bool is_folded)
    : ExactScorer(metric, {nullptr, 0, rows.dim(), 0, DType::kF32}, norms, is_folded) {
    decoded_ = &rows;
}

double ExactScorer::key_decoded(const float* query, Id row) const {
    thread_local std::vector<float> x;
    x.resize(rows_.cols);
    decoded_->read(row, 1, x.data());
    return key_of(query, x.data(), row);
}

double ExactScorer::score(double key, double query_norm) const noexcept {
    switch (metric_) {
        case Metric::kIp: return key;
        case Metric::kL2: return is_folded_ ? std::max(query_norm - key, 0.0) : -key;
        case Metric::kCosine: return query_norm > 0.0 ? key / query_norm : 0.0;
    }
    return key;
}

double ExactScorer::key_at(double score, double query_norm) const noexcept {
    switch (metric_) {
        case Metric::kIp: return score;
        case Metric::kL2: return is_folded_ ? query_norm - score : -score;
        case Metric::kCosine: return score * query_norm;
    }
    return score;
}

double ExactScorer::query_norm(const float* query) const noexcept {
    if (is_folded_) {
        const FoldedTail tail = tail_of(query, rows_.cols);
        if (metric_ == Metric::kL2) return tail.squared;
        return metric_ == Metric::kCosine ? tail.norm : 1.0;
    }
    return metric_ == Metric::kCosine ? norm_of(query, rows_.cols) : 1.0;
}

void ExactScorer::prefetch(Id row) const noexcept {
    if (decoded_ != nullptr) return __builtin_prefetch(decoded_->code(row), 0, 2);
    const auto* p = static_cast<const char*>(rows_.row(row));
    const std::size_t bytes = rows_.cols * size_of(rows_.dtype);
    // Past a few KiB the hardware follows by itself.
    const std::size_t ahead = std::min<std::size_t>(bytes, 4096);
    for (std::size_t k = 0; k < ahead; k += 64) __builtin_prefetch(p + k, 0, 2);
}

double dot(const float* a, const float* b, std::size_t dim) noexcept {
    return kernels::active().ip_f32(a, b, dim);
}

float rough_dot(const float* a, const float* b, std::size_t dim) noexcept {
    return kernels::active().dot_f32(a, b, dim);
}

double rough_dot_error(std::size_t dim, double norms) noexcept {
    // As stated by the kernel; the sum of |a[k] b[k]| is at most the product of the norms.
    const auto d = static_cast<double>(dim);
    return (d / 32.0 + 8.0) * 0x1p-24 * norms * (1.0 + 0x1p-20) + d * 0x1p-126;
}

double norm_of(const float* x, std::size_t dim) noexcept {
    return std::sqrt(kernels::active().ip_f32(x, x, dim));
}

bool all_finite(const float* x, std::size_t dim) noexcept {
    return std::isfinite(kernels::active().max_abs(x, dim));
}

void widen(DType dtype, const void* row, float* out, std::size_t dim) noexcept {
    switch (dtype) {
        case DType::kF32: std::copy_n(static_cast<const float*>(row), dim, out); return;
        case DType::kF16: kernels::active().f32_from_f16(halves(row), out, dim); return;
        case DType::kBF16: kernels::active().f32_from_bf16(halves(row), out, dim); return;
        case DType::kI8:
            for (std::size_t k = 0; k < dim; ++k) {
                out[k] = static_cast<float>(static_cast<int>(bytes(row)[k]) - 128);
            }
            return;
        case DType::kU8:
            for (std::size_t k = 0; k < dim; ++k) out[k] = static_cast<float>(bytes(row)[k]);
            return;
    }
}

void widen_plain(DType dtype, const void* row, float* out, std::size_t dim) noexcept {
    if (dtype != DType::kI8) return widen(dtype, row, out, dim);
    const auto* values = static_cast<const std::int8_t*>(row);
    for (std::size_t k = 0; k < dim; ++k) out[k] = static_cast<float>(values[k]);
}

void normalise(float* x, std::size_t dim) noexcept {
    const double norm = norm_of(x, dim);
    if (!(norm > 0.0)) return;
    for (std::size_t k = 0; k < dim; ++k) {
        x[k] = static_cast<float>(static_cast<double>(x[k]) / norm);
    }
}

}  // namespace nearfield

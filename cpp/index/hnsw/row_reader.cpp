#include "index/hnsw/row_reader.h"

#include <algorithm>
#include <vector>

#include "base/interrupt.h"
#include "quant/raw/codes.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// Rows whose norms say what is usual.
constexpr std::size_t kSampled = 1000;

/// One row in the units of the user.
void read_plain(const StoredRows& rows, Id row, float* out) {
    if (rows.rows.data != nullptr) {
        widen(rows.rows.dtype, rows.rows.row(row), out, rows.rows.cols);
    } else {
        rows.coded->rows.read(row, 1, out);
    }
}

}  // namespace

RowReader::RowReader(const StoredRows& rows, double unit)
    : rows_(rows), dim_(rows.codes.spec.dim), metric_(rows.codes.spec.metric), unit_(unit) {}

void RowReader::read(Id row, float* out) const {
    read_plain(rows_, row, out);
    if (metric_ == Metric::kCosine) return normalise(out, dim_);
    const double norm = norm_of(out, dim_);
    const double factor = norm * unit_ > kLongest ? kLongest / norm : unit_;
    for (std::size_t k = 0; k < dim_; ++k) {
        out[k] = static_cast<float>(static_cast<double>(out[k]) * factor);
    }
}

void RowReader::prefetch(Id row) const noexcept {
    const bool kept = rows_.rows.data != nullptr;
    const auto* const bytes =
        kept ? static_cast<const std::uint8_t*>(rows_.rows.row(row)) : rows_.coded->rows.code(row);
    const std::size_t size =
        kept ? dim_ * size_of(rows_.rows.dtype) : rows_.coded->rows.quantizer().code_size();
    // Past a few KiB the hardware follows by itself.
    for (std::size_t at = 0; at < std::min<std::size_t>(size, 4096); at += 64) {
        __builtin_prefetch(bytes + at);
    }
}

double RowReader::unit_of(const StoredRows& rows, std::size_t count) {
    if (rows.codes.spec.metric == Metric::kCosine) return 1.0;
    const std::size_t dim = rows.codes.spec.dim;
    const std::size_t sampled = std::min(count, kSampled);
    std::vector<float> x(dim);
    std::vector<double> norms;
    for (std::size_t i = 0; i < sampled; ++i) {
        checkpoint();
        read_plain(rows, static_cast<Id>(i * count / sampled), x.data());
        const double norm = norm_of(x.data(), dim);
        if (norm > 0.0) norms.push_back(norm);
    }
    if (norms.empty()) return 1.0;
    const auto middle = norms.begin() + static_cast<std::ptrdiff_t>(norms.size() / 2);
    std::nth_element(norms.begin(), middle, norms.end());
    return unit_for(*middle);
}

}  // namespace nearfield

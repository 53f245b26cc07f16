#include "quant/rabitq/sign_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/resolve.h"

namespace nearfield {
namespace {

using kernels::kMostWeight;
using kernels::kSignRows;

/// What rotating and float32 sums round, as a share of the lengths involved.
constexpr double kRoundingShare = 0x1p-15;

/// Added and taken away, leaves the nearest whole number.
constexpr float kRounder = 12582912.0f;

}  // namespace

void SignBlock::put(std::size_t lane, const std::uint8_t* plane, std::size_t bytes, Metric metric,
                    const RabitqFactors& f, double shift) const noexcept {
    for (std::size_t g = 0; g < bytes; ++g) planes[g * kSignRows + lane] = plane[g];
    if (!(f.unbiased > 0.0f) && f.norm > 0.0f) return put_unknown(lane);  // too near to tell
    const double norm = static_cast<double>(f.norm);
    const double own =
        metric == Metric::kIp ? static_cast<double>(f.along) * norm : -0.5 * norm * norm;
    const double rounding = (std::fabs(own) + std::fabs(shift)) * kRoundingShare;
    scale[lane] = f.unbiased;
    // Rounded up with everything that rounds beside it.
    bias[lane] = static_cast<float>(own + shift + rounding);
    error[lane] = static_cast<float>(static_cast<double>(f.error()) + norm * kRoundingShare);
}

void SignBlock::put_unknown(std::size_t lane) const noexcept {
    scale[lane] = 0.0f;
    bias[lane] = std::numeric_limits<float>::infinity();
    error[lane] = 0.0f;
}

void SignBlock::copy(std::size_t lane, const SignBlock& other, std::size_t from,
                     std::size_t bytes) const noexcept {
    for (std::size_t g = 0; g < bytes; ++g) {
        planes[g * kSignRows + lane] = other.planes[g * kSignRows + from];
    }
    scale[lane] = other.scale[from];
    bias[lane] = other.bias[from];
    error[lane] = other.error[from];
}

std::size_t SignView::scan(const SignQuery& query, std::size_t first, std::size_t rows,
                           float threshold, const kernels::SignHits& hits) const noexcept {
    const float slack = std::fabs(threshold) * static_cast<float>(kRoundingShare);
    const kernels::SignScan scan{planes + first * bytes,
                                 bytes,
                                 std::min(rows, count - first),
                                 query.table(),
                                 scale + first,
                                 bias + first,
                                 error + first,
                                 query.step(),
                                 query.offset(),
                                 query.margin(),
                                 threshold - slack};
    return kernels::active().scan_signs(scan, hits);
}

SignQuery::SignQuery(const RabitqCodec& codec, const RotatedQuery& query, double distance,
                     double sigmas, double factor)
    : table_(kernels::sign_table_bytes(codec.plane_size())) {
    const auto& table = kernels::active();
    const float most = table.max_abs(query.z.data(), query.z.size());
    const double step = most > 0.0f ? static_cast<double>(most) / kMostWeight : 1.0;
    std::vector<std::uint8_t> weight(query.z.size());
    const auto inverse = static_cast<float>(1.0 / step);
    double weights = 0.0;
    double lost = 0.0;
    for (std::size_t k = 0; k < weight.size(); ++k) {
        const float size = std::fabs(query.z[k]);
        const float whole = (size * inverse + kRounder) - kRounder;
        const double missed = static_cast<double>(size) - step * static_cast<double>(whole);
        weight[k] = static_cast<std::uint8_t>(whole);
        weights += static_cast<double>(whole);
        lost += missed * missed;
    }
    build_table(query.z, weight);
    const double dims = static_cast<double>(query.z.size());
    // |<d,y>| <= |d| |y|, |y| = sqrt(dims) / 2; as a random sum sigmas * |d| / 2.
    const double off = 0.5 * std::sqrt(lost) * (sigmas > 0.0 ? sigmas : std::sqrt(dims));
    const double to_units = factor / query.unit;
    loss_ = off * to_units;
    step_ = static_cast<float>(step * to_units);
    offset_ = static_cast<float>((off - 0.5 * step * weights) * to_units);
    const double freedom = static_cast<double>(std::max<std::size_t>(codec.dim(), 2) - 1);
    spread_ = sigmas > 0.0 ? std::min(1.0, sigmas / std::sqrt(freedom)) : 1.0;
    set_distance(distance);
}

void SignQuery::set_distance(double distance) noexcept {
    margin_ = static_cast<float>(distance * (spread_ + kRoundingShare));
}

/// Sixteen entries as two words of eight bytes. Dimension j adds its weight to the entries whose bit j is
/// set, or, where z is negative, to the others; no byte overflows.
void SignQuery::build_table(const std::vector<float>& z, const std::vector<std::uint8_t>& weight) {
    constexpr std::uint64_t kEveryByte = 0x0101010101010101ULL;
    constexpr std::uint64_t kHasBit[] = {0xff00ff00ff00ff00ULL, 0xffff0000ffff0000ULL,
                                         0xffffffff00000000ULL};
    const std::size_t half = table_.size() / 2;
    for (std::size_t first = 0; first < z.size(); first += 4) {
        std::uint64_t low = 0;
        for (std::size_t j = 0; j < 3; ++j) {
            const std::uint64_t flip = z[first + j] < 0.0f ? ~std::uint64_t{0} : 0;
            low += (kHasBit[j] ^ flip) & (weight[first + j] * kEveryByte);
        }
        const std::uint64_t last = weight[first + 3] * kEveryByte;
        const bool negative = z[first + 3] < 0.0f;
        const std::uint64_t words[] = {low + (negative ? last : 0), low + (negative ? 0 : last)};
        std::uint8_t* entries = table_.data() + (first / 4 % 2) * half + first / 8 * 32;
        std::memcpy(entries, words, 16);
        std::memcpy(entries + 16, words, 16);
    }
}

}  // namespace nearfield

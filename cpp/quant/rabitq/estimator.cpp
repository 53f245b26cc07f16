#include "quant/rabitq/estimator.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/resolve.h"

namespace nearfield {
namespace {

/// What float32 rounds in rotating a query, and in factors; see codec.cpp.
constexpr double kRotationShare = 0x1p-17;
constexpr double kFactorShare = 0x1p-20;

}  // namespace

RotatedQuery::RotatedQuery(const RabitqCodec& codec, const float* query, const float* centre)
    : z(codec.rotated_dim()), middle(codec.middle()) {
    const auto& table = kernels::active();
    unit = scaled_difference(query, centre, codec.dim(), z.data());
    codec.rotation().apply(z.data());
    norm = std::sqrt(table.ip_f32(z.data(), z.data(), z.size())) / unit;
    total = 0.0;
    for (const float v : z) total += static_cast<double>(v);
}

double RotatedQuery::dot(const std::uint8_t* bytes) const noexcept {
    return (kernels::active().ip_u8(z.data(), bytes, z.size()) - middle * total) / unit;
}

RabitqEstimator::RabitqEstimator(const RabitqCodec& codec, Metric metric, const float* query,
                                 const float* centre)
    : codec_(codec),
      metric_(metric),
      query_(codec, query, centre),
      centre_norm_(0.0),
      with_centre_(0.0) {
    if (metric == Metric::kCosine) {
        throw std::invalid_argument("estimates are of l2 or ip; normalise and use ip for cosine");
    }
    if (centre == nullptr) return;
    const auto& table = kernels::active();
    centre_norm_ = std::sqrt(table.ip_f32(centre, centre, codec.dim()));
    with_centre_ = table.ip_f32(query, centre, codec.dim());
}

RabitqEstimate RabitqEstimator::from_dot(double dot, double dot_error, const RabitqFactors& f,
                                         double sigmas) const noexcept {
    const double norm = f.norm;
    const double e = f.error();
    const double unbiased = f.unbiased;
    const double spread =
        sigmas > 0.0 ? std::min(1.0, sigmas / std::sqrt(static_cast<double>(
                                                  std::max<std::size_t>(codec_.dim(), 2) - 1)))
                     : 1.0;
    const double q = query_.norm;
    const double rounding = kRotationShare * q * (norm + e) +
                            kFactorShare * (q + centre_norm_) * (norm + e + centre_norm_);
    const double inner = unbiased * dot;
    const bool near_centre =
        !(f.unbiased > 0.0f);  // norm is an upper bound then, and nothing else is known
    const double error = q * e * spread + unbiased * dot_error + rounding;
    if (metric_ == Metric::kIp) {
        const double along = static_cast<double>(f.along) * norm;
        const double lost = near_centre ? centre_norm_ * norm : 0.0;
        return {with_centre_ + along + inner, error + lost};
    }
    const double lost = (near_centre ? norm * norm : 0.0) + kFactorShare * (q * q + norm * norm);
    return {2.0 * inner - q * q - norm * norm, 2.0 * error + lost};
}

RabitqEstimate RabitqEstimator::estimate(const std::uint8_t* code, double sigmas) const {
    std::vector<std::uint8_t> bytes(codec_.rotated_dim());
    codec_.unpack(code, bytes.data());
    return from_dot(query_.dot(bytes.data()), 0.0, codec_.factors(code), sigmas);
}

}  // namespace nearfield

#include "quant/rabitq/codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "base/types.h"
#include "kernels/resolve.h"

static_assert(std::endian::native == std::endian::little, "codes are stored as they lie in memory");

namespace nearfield {
namespace {

/// Best uniform steps for a Gaussian of deviation 1, by bits.
constexpr double kGaussianStep[] = {0,      1.596,  0.9957, 0.5860, 0.3352,
                                    0.1881, 0.1041, 0.0569, 0.0308};

/// Below this norm, in scaled units, a row counts as the centre.
constexpr double kLeastNorm = 0x1p-100;
/// The same in the caller's units: scales must stay normal numbers.
constexpr double kLeastNormStored = 0x1p-100;

/// Up to here scales are searched more widely.
constexpr std::size_t kSmallDim = 64;

/// What rotating forth in float32 may add to an error, as a share of the norm: four rounds of at most
/// 17 roundings.
constexpr double kRotationShare = 0x1p-17;

float up(double x) noexcept {
    return std::nextafter(static_cast<float>(x * (1.0 + 0x1p-17)),
                          std::numeric_limits<float>::max());
}

std::size_t padded(std::size_t dim) noexcept { return round_up(dim, kernels::kGridLanes); }

double dot_bytes(const float* x, const std::uint8_t* bytes, std::size_t n) noexcept {
    return kernels::active().ip_u8(x, bytes, n);
}

struct ByteSums {
    std::uint64_t plain = 0;
    std::uint64_t squares = 0;
};

ByteSums sum_bytes(const std::uint8_t* bytes, std::size_t n) noexcept {
    ByteSums sums;
    for (std::size_t first = 0; first < n; first += 4096) {  // 32 bits hold 4096 squares
        std::uint32_t plain = 0;
        std::uint32_t squares = 0;
        for (std::size_t k = first; k < std::min(n, first + 4096); ++k) {
            const std::uint32_t b = bytes[k];
            plain += b;
            squares += b * b;
        }
        sums.plain += plain;
        sums.squares += squares;
    }
    return sums;
}

}  // namespace

float RabitqFactors::error() const noexcept {
    if (scale <= 0.0f) return norm;
    const double excess = static_cast<double>(unbiased) / static_cast<double>(scale) - 1.0;
    const double share = std::sqrt(std::max(excess, 0.0) + 0x1p-21) + kRotationShare;
    return up(share * static_cast<double>(norm));
}

double scaled_difference(const float* a, const float* b, std::size_t dim, float* v) noexcept {
    const auto& table = kernels::active();
    double most = static_cast<double>(table.max_abs(a, dim));
    if (b != nullptr) most = std::max(most, static_cast<double>(table.max_abs(b, dim)));
    // Within float64's exponents either way, so that the unit itself is exact.
    const double unit = most > 0.0 ? std::ldexp(1.0, -std::ilogb(most) - 1) : 1.0;
    for (std::size_t k = 0; k < dim; ++k) {
        const double other = b == nullptr ? 0.0 : static_cast<double>(b[k]);
        v[k] = static_cast<float>((static_cast<double>(a[k]) - other) * unit);
    }
    return unit;
}

RabitqCodec::Scratch::Scratch(const RabitqCodec& codec)
    : row(padded(codec.rotated_dim())),
      grid(padded(codec.rotated_dim())),
      code(padded(codec.rotated_dim())),
      sign(padded(codec.rotated_dim())) {}

RabitqCodec::RabitqCodec(std::size_t dim, int bits, std::uint64_t seed)
    : rotation_(dim, seed), bits_(bits) {
    if (bits < 1 || bits > 8) {
        throw std::invalid_argument("rabitq codes have 1 to 8 bits a dimension, got " +
                                    std::to_string(bits));
    }
    half_ = static_cast<float>(1 << (bits - 1));
}

float RabitqCodec::best_inverse(const Scratch& scratch, double norm) const noexcept {
    const auto& table = kernels::active();
    const std::size_t n = padded(rotated_dim());
    const double missing = 0.25 * static_cast<double>(n - rotated_dim());
    const double deviation = norm / std::sqrt(static_cast<double>(rotated_dim()));
    const double most = static_cast<double>(table.max_abs(scratch.row.data(), rotated_dim()));
    const double start =
        std::min(kGaussianStep[bits_] * deviation, most / static_cast<double>(half_));
    double best_quality = -1.0;
    double best = 1.0;
    const auto attempt = [&](double factor) {
        kernels::GridFit fit{};
        const auto inverse = static_cast<float>(1.0 / (start * factor));
        table.fit_grid_f32(scratch.row.data(), n, inverse, half_, &fit);
        const double dot = static_cast<double>(fit.dot);
        const double quality = dot * dot / (static_cast<double>(fit.norm) - missing);
        if (!(quality > best_quality)) return;
        best_quality = quality;
        best = factor;
    };
    for (const double factor : {0.88, 0.94, 1.0, 1.06, 1.12, 1.18}) attempt(factor);
    if (n <= kSmallDim) {  // few elements are no Gaussian, and trials cost little
        for (int k = 0; k < 64; ++k) attempt(0.60 + 0.015 * k);
    }
    for (const double step : {0.03, 0.015, 0.0075}) {
        const double middle = best;
        attempt(middle - step);
        attempt(middle + step);
    }
    return static_cast<float>(1.0 / (start * best));
}

/// |Py|^2.
double RabitqCodec::seen_norm(const std::uint8_t* bytes, double middle,
                              Scratch& scratch) const noexcept {
    const std::size_t n = rotated_dim();
    if (n == dim()) {
        const ByteSums sums = sum_bytes(bytes, n);
        const auto plain = static_cast<double>(sums.plain);
        return static_cast<double>(sums.squares) - 2.0 * middle * plain +
               static_cast<double>(n) * middle * middle;
    }
    float* y = scratch.grid.data();
    for (std::size_t k = 0; k < n; ++k) {
        y[k] = static_cast<float>(static_cast<double>(bytes[k]) - middle);
    }
    rotation_.apply_transposed(y);
    return kernels::active().ip_f32(y, y, dim());
}

/// Factors of the point that the bytes name, in scaled units.
RabitqFactors RabitqCodec::fit(const std::uint8_t* bytes, double middle, double squared,
                               Scratch& scratch) const noexcept {
    const std::size_t n = rotated_dim();
    const float* r = scratch.row.data();
    std::fill_n(scratch.grid.begin(), n, 1.0f);
    const double total = kernels::active().ip_f32(r, scratch.grid.data(), n);
    const double dot = dot_bytes(r, bytes, n) - middle * total;
    const double seen = seen_norm(bytes, middle, scratch);
    const double norm = std::sqrt(squared);
    // Never apart in the wrong direction: <r,y>^2 <= |r|^2 |Py|^2 but for rounding.
    const double unbiased = squared / dot;
    const double scale = std::min(dot / seen, unbiased);
    return {static_cast<float>(scale), static_cast<float>(unbiased), static_cast<float>(norm),
            0.0f};
}

bool RabitqCodec::encode(const float* x, const float* centre, Scratch& scratch, std::uint8_t* code,
                         RabitqFactors* signs) const noexcept {
    const auto& table = kernels::active();
    const std::size_t n = rotated_dim();
    float* r = scratch.row.data();
    const double unit = scaled_difference(x, centre, dim(), r);
    const double along = centre == nullptr ? 0.0 : table.ip_f32(centre, r, dim());
    rotation_.apply(r);
    const double squared = table.ip_f32(r, r, n);
    const double norm = std::sqrt(squared);
    if (!(norm / unit <= kMostRabitqNorm)) return false;
    const bool centred = norm < kLeastNorm || norm / unit < kLeastNormStored;
    const auto finish = [&](RabitqFactors f) {
        if (squared == 0.0) return RabitqFactors{};
        if (centred) return RabitqFactors{0, 0, up(norm / unit), 0};
        return RabitqFactors{static_cast<float>(static_cast<double>(f.scale) / unit),
                             static_cast<float>(static_cast<double>(f.unbiased) / unit),
                             static_cast<float>(norm / unit), static_cast<float>(along / norm)};
    };
    const float inverse = bits_ == 1 || centred ? 1.0f : best_inverse(scratch, norm);
    std::uint8_t* bytes = scratch.code.data();
    table.grid_codes_f32(r, padded(n), inverse, half_, bytes);
    const RabitqFactors found = finish(fit(bytes, middle(), squared, scratch));
    std::memcpy(code, &found, kHeader);
    table.pack_planes(bytes, n, static_cast<std::size_t>(bits_), code + kHeader);
    if (signs != nullptr) {
        for (std::size_t k = 0; k < n; ++k) {
            scratch.sign[k] = static_cast<std::uint8_t>(bytes[k] >> (bits_ - 1));
        }
        *signs = finish(fit(scratch.sign.data(), 0.5, squared, scratch));
    }
    return true;
}

RabitqFactors RabitqCodec::factors(const std::uint8_t* code) const noexcept {
    RabitqFactors f{};
    std::memcpy(&f, code, kHeader);
    const double longest =
        static_cast<double>(f.unbiased) * middle() * std::sqrt(static_cast<double>(rotated_dim()));
    const bool sound = f.scale >= 0.0f && f.scale <= f.unbiased && f.norm >= 0.0f &&
                       f.norm <= static_cast<float>(1.01 * kMostRabitqNorm) && longest <= 1e38 &&
                       std::isfinite(f.along);
    return sound ? f : RabitqFactors{};
}

void RabitqCodec::unpack(const std::uint8_t* code, std::uint8_t* bytes) const noexcept {
    kernels::active().unpack_planes(code + kHeader, rotated_dim(), static_cast<std::size_t>(bits_),
                                    bytes);
}

void RabitqCodec::decode(const std::uint8_t* code, const float* centre, Scratch& scratch,
                         float* x) const noexcept {
    const std::size_t n = rotated_dim();
    const double scale = static_cast<double>(factors(code).scale);
    unpack(code, scratch.code.data());
    float* y = scratch.grid.data();
    for (std::size_t k = 0; k < n; ++k) {
        y[k] = static_cast<float>((static_cast<double>(scratch.code[k]) - middle()) * scale);
    }
    rotation_.apply_transposed(y);
    for (std::size_t k = 0; k < dim(); ++k) x[k] = centre == nullptr ? y[k] : centre[k] + y[k];
}

}  // namespace nearfield

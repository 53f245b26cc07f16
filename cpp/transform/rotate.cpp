#include "transform/rotate.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "base/random.h"
#include "base/types.h"
#include "kernels/resolve.h"

namespace nearfield {
namespace {

constexpr std::uint64_t kStream = 0x726f74617465;  // apart from other users of the same seed

}  // namespace

Rotation::Rotation(std::size_t dim, std::uint64_t seed)
    : dim_(dim),
      rotated_(round_up(dim, 8)),
      window_(dim == 0 ? 0 : std::bit_floor(rotated_)),
      rounds_(window_ == rotated_ ? 3 : 4),
      seed_(seed) {
    if (dim == 0) throw std::invalid_argument("a rotation needs a dimension of 1 or more, got 0");
    factors_.resize(rounds_ * rotated_);
    const bool whole = window_ == rotated_;
    const double halves = whole ? 1.0 : std::sqrt(0.5);
    const double inside = halves / std::sqrt(static_cast<double>(window_));
    Random random(seed, kStream);
    for (std::size_t r = 0; r < rounds_; ++r) {
        const std::size_t start = r % 2 == 0 ? 0 : rotated_ - window_;
        for (std::size_t k = 0; k < rotated_; ++k) {
            const double size = k >= start && k < start + window_ ? inside : halves;
            const bool negative = (random.next() >> 63) != 0;
            factors_[r * rotated_ + k] = static_cast<float>(negative ? -size : size);
        }
    }
}

kernels::RotationPlan Rotation::plan() const noexcept {
    return {factors_.data(), rotated_, window_, rounds_};
}

void Rotation::apply(float* x) const noexcept {
    std::fill(x + dim_, x + rotated_, 0.0f);
    kernels::active().rotate_f32(x, plan());
}

void Rotation::apply_transposed(float* x) const noexcept {
    kernels::active().rotate_back_f32(x, plan());
}

}  // namespace nearfield

#include "transform/finite_check.h"

#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/resolve.h"

namespace nearfield {
namespace {

void note(const float* x, std::size_t dim, std::size_t number,
          std::atomic<std::size_t>& first) noexcept {
    if (kernels::active().max_abs(x, dim) <= std::numeric_limits<float>::max()) return;
    std::size_t known = first.load();
    while (number < known && !first.compare_exchange_weak(known, number)) {
    }
}

}  // namespace

void FiniteCheck::before(const float* x, std::size_t dim, std::size_t number) noexcept {
    note(x, dim, number, before_);
}

void FiniteCheck::after(const float* x, std::size_t dim, std::size_t number) noexcept {
    note(x, dim, number, after_);
}

void FiniteCheck::raise(const char* by) const {
    if (before_ != kNone) {
        throw std::invalid_argument("query " + std::to_string(before_) +
                                    " holds NaN or infinity; expected finite values");
    }
    if (after_ != kNone) {
        throw std::invalid_argument("query " + std::to_string(after_) +
                                    " is taken beyond float32 by " + by +
                                    "; expected finite results: make its weights or the query "
                                    "smaller");
    }
}

}  // namespace nearfield

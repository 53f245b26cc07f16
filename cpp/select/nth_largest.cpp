#include "select/nth_largest.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <limits>

namespace nearfield {
namespace {

constexpr std::size_t kSteps = 128;

}  // namespace

float nth_largest(std::vector<float>& values, std::size_t rank) {
    float least = std::numeric_limits<float>::infinity();
    float most = -least;
    for (const float value : values) {
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    // Any step function that never falls will do.
    const float per_step = static_cast<float>(kSteps) / (most - least);
    std::size_t kept = values.size();
    if (per_step > 0.0f && per_step < 0x1p100f) {
        const auto step_of = [=](float value) {
            return std::min(static_cast<std::size_t>((value - least) * per_step), kSteps - 1);
        };
        std::array<std::uint32_t, kSteps> counts{};
        for (const float value : values) ++counts[step_of(value)];
        std::size_t step = kSteps - 1;
        while (counts[step] < rank) rank -= counts[step--];
        kept = 0;
        for (const float value : values) {
            values[kept] = value;
            kept += static_cast<std::size_t>(step_of(value) == step);
        }
    }
    const auto nth = values.begin() + static_cast<std::ptrdiff_t>(rank - 1);
    std::nth_element(values.begin(), nth, values.begin() + static_cast<std::ptrdiff_t>(kept),
                     std::greater<>());
    return *nth;
}

}  // namespace nearfield

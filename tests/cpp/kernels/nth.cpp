// Selection by counting against sorting: ties, infinities, ranges where steps vanish.
#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"

using nearfield::Random;
using nearfield::kernels::KernelTable;

TEST_LEVELS(every_rank_of_every_kind) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    Random random(1);
    for (const std::size_t n : {1u, 2u, 7u, 200u, 1000u}) {
        for (int kind = 0; kind < 6; ++kind) {
            std::vector<float> values(n);
            for (float& value : values) {
                const auto x = static_cast<float>(random.below(1000)) - 500.0f;
                value = kind == 0   ? x
                        : kind == 1 ? std::min(x, 3.0f)
                        : kind == 2 ? x * 1e35f
                        : kind == 3 ? x * 1e-42f
                        : kind == 4 ? 1.0f
                                    : (x > 300.0f    ? kInfinity
                                       : x < -300.0f ? -kInfinity
                                                     : x);
            }
            std::vector<float> sorted = values;
            std::sort(sorted.begin(), sorted.end(), std::greater<>());
            for (const std::size_t rank : {std::size_t{1}, (n + 1) / 2, n}) {
                CHECK_EQ(table.nth_largest_f32(values.data(), n, rank), sorted[rank - 1]);
            }
        }
    }
}

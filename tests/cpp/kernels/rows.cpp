// Loops over float32 rows: sums in one order on every level, products within their bound.
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"
#include "kernels/values.h"

using nearfield::Random;

TEST_LEVELS(sum_rows_adds_in_order) {
    Random random(13);
    constexpr std::size_t kRows = 9;
    guarded::Arena memory(kRows * 132 * sizeof(float));
    guarded::Arena totals(132 * sizeof(double));
    for (std::size_t dim = 1; dim <= 132; ++dim) {
        for (std::size_t n = 0; n <= 7; ++n) {
            const bool at_back = (dim + n) % 2 == 0;
            auto* x = memory.at<float>(at_back, kRows * dim);
            auto* sum = totals.at<double>(at_back, dim);
            for (std::size_t v = 0; v < kRows * dim; ++v) {
                x[v] = values::gaussian(random) * (random.below(3) == 0 ? 1e9f : 1.0f);
            }
            std::uint32_t ids[7];
            for (auto& id : ids) id = static_cast<std::uint32_t>(random.below(kRows));
            std::vector<double> want(dim);
            for (std::size_t d = 0; d < dim; ++d) want[d] = sum[d] = values::gaussian(random);
            for (std::size_t i = 0; i < n; ++i) {
                for (std::size_t d = 0; d < dim; ++d) {
                    want[d] += static_cast<double>(x[ids[i] * dim + d]);
                }
            }
            table.sum_rows_f32(x, dim * sizeof(float), ids, n, dim, sum);
            for (std::size_t d = 0; d < dim; ++d) {
                CHECK_EQ(values::bits(sum[d]), values::bits(want[d]));
            }
        }
    }
}

TEST_LEVELS(dot_stays_within_its_bound) {
    Random random(14);
    guarded::Arena left(values::kMostDim * sizeof(float));
    guarded::Arena right(values::kMostDim * sizeof(float));
    for (const std::size_t dim : values::dims()) {
        for (int round = 0; round < 4; ++round) {
            auto* a = left.at<float>(round % 2 == 0, dim);
            auto* b = right.at<float>(round < 2, dim);
            long double want = 0;
            long double size = 0;
            for (std::size_t k = 0; k < dim; ++k) {
                a[k] = values::gaussian(random);
                b[k] = values::gaussian(random) * (round == 3 ? 0x1p-130f : 1.0f);
                const long double term = static_cast<long double>(a[k]) * b[k];
                want += term;
                size += std::fabs(term);
            }
            const auto columns = static_cast<long double>(dim);
            const long double most = (columns / 32 + 8) * 0x1p-24L * size + columns * 0x1p-126L;
            CHECK(std::fabs(table.dot_f32(a, b, dim) - want) <= most);
        }
    }
}

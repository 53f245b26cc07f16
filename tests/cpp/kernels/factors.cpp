// Rows times narrow matrices: every level has the bits of sums in order, whatever rows stand beside a row.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"

using nearfield::Random;
using nearfield::kernels::FactorArgs;
using nearfield::kernels::KernelTable;

namespace {

using Products = void (*KernelTable::*)(const FactorArgs&) noexcept;

/// draw(): an element of either matrix.
template <class Draw>
void check_sums(const KernelTable& table, Products products, const Draw& draw) {
    for (const std::size_t rows : {1u, 3u, 4u, 5u, 32u}) {
        for (const std::size_t depth : {1u, 2u, 24u, 385u}) {
            for (const std::size_t width : {16u, 32u, 112u}) {
                std::vector<double> x(rows * depth);
                std::vector<double> b(depth * width);
                for (double& value : x) value = draw();
                for (double& value : b) value = draw();
                std::vector<double> out(rows * width + 1, 42.0);
                (table.*products)({x.data(), rows, depth, b.data(), width, out.data()});
                CHECK_EQ(out.back(), 42.0);
                for (std::size_t i = 0; i < rows; ++i) {
                    for (std::size_t j = 0; j < width; ++j) {
                        double sum = 0.0;
                        for (std::size_t k = 0; k < depth; ++k) {
                            sum += x[i * depth + k] * b[k * width + j];
                        }
                        CHECK_EQ(out[i * width + j], sum);
                    }
                }
            }
        }
    }
}

}  // namespace

TEST_LEVELS(sums_are_those_of_the_definition) {
    Random random(7);
    check_sums(table, &KernelTable::factor_products,
               [&] { return double{random.uniform_float() - 0.5f}; });
}

TEST_LEVELS(products_of_any_numbers_are_rounded) {
    Random random(8);
    check_sums(table, &KernelTable::rounded_products, [&] {
        return double{random.uniform_float()} + 0x1p-30 * double{random.uniform_float()};
    });
}

TEST_LEVELS(two_floats_hold_48_bits) {
    Random random(9);
    for (const std::size_t n : {1u, 3u, 8u, 21u, 64u}) {
        for (const bool is_added : {false, true}) {
            std::vector<double> x(n);
            std::vector<float> added(n);
            for (std::size_t k = 0; k < n; ++k) {
                x[k] = std::ldexp(double{random.uniform_float()} - 0.5 + 0x1p-40,
                                  static_cast<int>(random.below(100)) - 50);
                added[k] = k % 3 == 0 ? 0.0f : random.uniform_float();
            }
            std::vector<float> high(n + 1, 42.0f);
            std::vector<float> low(n + 1, 42.0f);
            table.split_f64(x.data(), is_added ? added.data() : nullptr, n, high.data(),
                            low.data());
            CHECK_EQ(high[n], 42.0f);
            CHECK_EQ(low[n], 42.0f);
            for (std::size_t k = 0; k < n; ++k) {
                const double sum = x[k] + (is_added ? double{added[k]} : 0.0);
                CHECK_EQ(high[k], static_cast<float>(sum));
                CHECK_EQ(low[k], static_cast<float>(sum - double{high[k]}));
                CHECK(std::fabs(double{high[k]} + double{low[k]} - sum) <=
                      0x1p-48 * std::fabs(sum));
            }
        }
    }
}

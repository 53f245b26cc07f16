// Rows times narrow matrices: every level has the bits of sums in order, whatever rows stand beside a row.
#include <algorithm>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"

using nearfield::Random;
using nearfield::kernels::FactorArgs;
using nearfield::kernels::KernelTable;

TEST_LEVELS(sums_are_those_of_the_definition) {
    Random random(7);
    for (const std::size_t rows : {1u, 3u, 4u, 5u, 32u}) {
        for (const std::size_t depth : {1u, 2u, 24u, 385u}) {
            for (const std::size_t width : {16u, 32u, 112u}) {
                std::vector<double> x(rows * depth);
                std::vector<double> b(depth * width);
                for (double& value : x) value = double{random.uniform_float() - 0.5f};
                for (double& value : b) value = double{random.uniform_float() - 0.5f};
                std::vector<double> out(rows * width + 1, 42.0);
                table.factor_products({x.data(), rows, depth, b.data(), width, out.data()});
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

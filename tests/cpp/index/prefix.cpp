// A short answer is the beginning of a long one, whatever way the engine takes to it: scans keep
// candidates by bounds, answers for many of the rows score every row. The order of float64 keys and the
// smaller label decide in both, also where keys tie only because float64 cannot tell the rows apart.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "index/oracle.h"

using nearfield::DType;
using nearfield::FlatIndex;
using nearfield::Metric;
using nearfield::Random;

namespace {

void check_prefixes(Metric metric, double row_scale, double query_scale) {
    constexpr std::size_t kDim = 24;
    constexpr std::size_t kRows = 900;
    constexpr std::size_t kQueries = 9;
    Random random(61);
    std::vector<float> x(kRows * kDim);
    for (float& v : x) v = static_cast<float>((random.uniform_double() - 0.5) * row_scale);
    std::vector<float> q(kQueries * kDim);
    for (float& v : q) v = static_cast<float>((random.uniform_double() - 0.5) * query_scale);
    FlatIndex index(kDim, metric, DType::kF32);
    index.add({x.data(), kRows, kDim, kDim * sizeof(float), DType::kF32}, nullptr, false, 1);
    const oracle::Found whole = oracle::search(index, q, kDim, kRows, nullptr, 1);
    for (const std::size_t k : {std::size_t{1}, std::size_t{10}, std::size_t{100}}) {
        for (const int threads : {1, 2}) {
            const oracle::Found part = oracle::search(index, q, kDim, k, nullptr, threads);
            for (std::size_t i = 0; i < kQueries; ++i) {
                for (std::size_t j = 0; j < k; ++j) {
                    CHECK_EQ(part.ids[i * k + j], whole.ids[i * kRows + j]);
                    CHECK_EQ(part.scores[i * k + j], whole.scores[i * kRows + j]);
                }
            }
        }
    }
}

}  // namespace

TEST(short_answers_begin_long_ones) {
    for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
        for (const double rows : {1e-18, 1.0, 1e18}) {
            for (const double queries : {1e-18, 1e-3, 1.0, 1e3, 1e18}) {
                check_prefixes(metric, rows, queries);
            }
        }
    }
}

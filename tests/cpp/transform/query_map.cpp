// What a search does to its queries: one transform, one or several for each, modulation by tokens.
#include "transform/query_map.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/random.h"
#include "check.h"
#include "kernels/values.h"
#include "transform/chain.h"
#include "transform/registry.h"

using namespace nearfield;

namespace {

constexpr std::size_t kDim = 20;
constexpr std::size_t kRows = 500;

std::vector<float> gaussians(Random& random, std::size_t n) {
    std::vector<float> x(n);
    for (float& value : x) value = values::gaussian(random);
    return x;
}

SharedTransform affine(std::uint64_t seed, std::size_t out = kDim) {
    Random random(seed);
    const auto w = gaussians(random, out * kDim);
    return make_transform("affine", {{{"w", {w.data(), out, kDim}}}, {}, {}});
}

template <class F>
std::string error_of(const F& f) {
    try {
        f();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "";
}

bool same(const float* a, const float* b, std::size_t n) {
    return std::memcmp(a, b, n * sizeof(float)) == 0;
}

}  // namespace

TEST(each_row_goes_through_its_own_transforms) {
    Random random(1);
    const auto x = gaussians(random, kRows * kDim);
    const MatrixView<float> queries(x.data(), kRows, kDim);
    const std::vector<SharedTransform> transforms = {affine(1), affine(2), affine(3)};
    for (const std::size_t per_query : {1U, 3U}) {
        std::vector<std::int64_t> ids(kRows * per_query);
        for (auto& id : ids) id = static_cast<std::int64_t>(random.below(4)) - 1;
        const TransformEach each(transforms, ids, per_query);
        for (const int threads : {1, 2, 7}) {
            const MappedQueries mapped(each, queries, kDim, threads);
            CHECK_EQ(mapped.view().rows, kRows * per_query);
            for (std::size_t i = 0; i < ids.size(); ++i) {
                const float* const own = queries.row(i / per_query);
                std::vector<float> expected(own, own + kDim);
                if (ids[i] >= 0) {
                    transforms[static_cast<std::size_t>(ids[i])]->apply({own, 1, kDim},
                                                                        expected.data(), 1);
                }
                CHECK(same(mapped.view().row(i), expected.data(), kDim));
            }
        }
    }
}

TEST(what_does_not_fit_is_an_error) {
    std::vector<float> x(4 * kDim, 1.0f);
    const MatrixView<float> queries(x.data(), 4, kDim);
    const auto contains = [](const std::string& text, const char* part) {
        return text.find(part) != std::string::npos;
    };
    CHECK(contains(error_of([] { TransformEach({affine(1)}, {1}, 1); }), "got 1, expected -1"));
    CHECK(contains(error_of([] { TransformEach({affine(1)}, {-2}, 1); }), "got -2"));
    CHECK(contains(error_of([] { TransformEach({affine(1)}, {0, 0, 0}, 2); }), "3 ids"));
    const TransformEach mixed({affine(1), affine(2, 7)}, {0, 1, 0, 1}, 1);
    CHECK(contains(error_of([&] { MappedQueries(mixed, queries, kDim, 1); }), "others 7"));
    const TransformEach few({affine(1)}, {0}, 1);
    CHECK(contains(error_of([&] { MappedQueries(few, queries, kDim, 1); }), "1 rows for 4"));
    const OneTransform narrow(affine(1, 7));
    CHECK(contains(error_of([&] { MappedQueries(narrow, queries, kDim, 1); }), "gives dim 7"));
    CHECK(contains(error_of([&] { Chain({affine(1, 7), affine(2)}); }), "transforms[1]"));
    CHECK(contains(error_of([] { make_transform("nothing", {}); }), "affine, diagonal"));
    CHECK(contains(error_of([] { make_transform("affine", {}); }), "w: is missing"));
    x[2 * kDim] = std::numeric_limits<float>::infinity();
    x[3 * kDim] = x[2 * kDim];
    const OneTransform one(affine(1));
    for (const int threads : {1, 4}) {
        CHECK(contains(error_of([&] { MappedQueries(one, queries, kDim, threads); }), "query 2"));
    }
}

TEST(tokens_that_lie_are_errors) {
    Random random(2);
    const auto w = gaussians(random, 10 * kDim);
    const auto x = gaussians(random, 2 * kDim);
    const Modulation modulation({w.data(), 10, kDim}, {}, {}, {});
    std::vector<float> out(2 * kDim);
    const auto error = [&](std::vector<std::int64_t> ids, std::vector<std::int64_t> offsets) {
        const TokenRows tokens{ids, offsets, nullptr};
        return error_of([&] { modulation.apply({x.data(), 2, kDim}, tokens, out.data(), 2); });
    };
    CHECK_EQ(error({1, 9, 9}, {0, 1, 3}), "");
    CHECK_EQ(error({}, {0, 0, 0}), "");
    for (const auto& text :
         {error({10}, {0, 1, 1}), error({-1}, {0, 1, 1}), error({1}, {0, 1}), error({1}, {0, 2, 1}),
          error({1}, {1, 1, 1}), error({1, 2}, {0, 1, 1}), error({1}, {0, -5, 1})}) {
        CHECK(text.starts_with("tokens: "));
    }
}

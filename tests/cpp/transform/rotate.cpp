// The rotation is orthogonal, comes back, spreads single directions and is the same on every level.
#include "transform/rotate.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "base/random.h"
#include "quant/at_level.h"

using nearfield::Random;
using nearfield::Rotation;

namespace {

const std::vector<std::size_t>& dims() {
    static const std::vector<std::size_t> all{1,   2,   7,   8,   9,    64,  100,
                                              120, 128, 384, 768, 1000, 1536};
    return all;
}

std::vector<float> gaussian_row(std::size_t dim, std::size_t room, std::uint64_t seed) {
    Random random(seed);
    std::vector<float> x(room);
    for (std::size_t k = 0; k < dim; ++k) {
        for (int i = 0; i < 12; ++i) x[k] += random.uniform_float() - 0.5f;
    }
    return x;
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (std::size_t k = 0; k < a.size(); ++k) sum += double{a[k]} * b[k];
    return sum;
}

std::uint64_t digest(const std::vector<float>& x) {
    std::uint64_t hash = 1469598103934665603ULL;
    for (const float value : x) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, &value, 4);
        hash = (hash ^ bits) * 1099511628211ULL;
    }
    return hash;
}

}  // namespace

TEST(inner_products_survive_to_float32_rounding) {
    for (const std::size_t dim : dims()) {
        const Rotation rotation(dim, 5);
        CHECK_EQ(rotation.rotated_dim() % 8, 0U);
        CHECK(rotation.rotated_dim() < dim + 8);
        auto x = gaussian_row(dim, rotation.rotated_dim(), 1);
        auto y = gaussian_row(dim, rotation.rotated_dim(), 2);
        const double scale = std::sqrt(dot(x, x) * dot(y, y));
        const double before = dot(x, y);
        rotation.apply(x.data());
        rotation.apply(y.data());
        CHECK(std::fabs(dot(x, y) - before) <= 1e-6 * scale);
    }
}

TEST(the_inverse_is_the_transposed) {
    for (const std::size_t dim : dims()) {
        const Rotation rotation(dim, 6);
        const auto x = gaussian_row(dim, rotation.rotated_dim(), 3);
        auto y = x;
        for (std::size_t k = dim; k < y.size(); ++k) y[k] = 1e9f;  // apply() clears what it added
        rotation.apply(y.data());
        rotation.apply_transposed(y.data());
        for (std::size_t k = 0; k < y.size(); ++k) CHECK(std::fabs(y[k] - x[k]) <= 4e-6f);
    }
}

TEST(single_directions_are_spread) {
    // A dense random matrix gives the largest element sqrt(2 ln n / n) and mean |cos| 0.798.
    for (const std::size_t dim : {100U, 120U, 128U, 384U, 768U, 1000U}) {
        const Rotation rotation(dim, 7);
        double cosines = 0;
        for (std::size_t i = 0; i < dim; ++i) {
            std::vector<float> x(rotation.rotated_dim());
            x[i] = 1.0f;
            rotation.apply(x.data());
            double sum = 0;
            for (const float v : x) sum += std::fabs(v);
            const double cosine = sum / std::sqrt(static_cast<double>(x.size()));
            CHECK(cosine > 0.62);
            cosines += cosine;
        }
        CHECK(cosines / static_cast<double>(dim) > 0.77);
        CHECK(cosines / static_cast<double>(dim) < 0.83);
    }
}

TEST(seeds_differ) {
    const Rotation a(384, 1);
    const Rotation b(384, 2);
    auto x = gaussian_row(384, 384, 3);
    auto y = x;
    a.apply(x.data());
    b.apply(y.data());
    CHECK(std::fabs(dot(x, y)) < 0.3 * dot(x, x));
}

TEST(no_dimension_is_refused) { CHECK_THROWS(std::invalid_argument, Rotation(0, 1)); }

TEST_AT_LEVELS(bits_do_not_depend_on_the_level) {
    // Found on the portable level.
    const std::vector<std::pair<std::size_t, std::uint64_t>> known{{8, 7273441082946459984ULL},
                                                                   {100, 3483727490630398307ULL},
                                                                   {128, 10517974728677397812ULL},
                                                                   {384, 8696800888276227353ULL},
                                                                   {1000, 13170800227381958781ULL}};
    for (const auto& [dim, expected] : known) {
        const Rotation rotation(dim, 42);
        auto x = gaussian_row(dim, rotation.rotated_dim(), 4);
        rotation.apply(x.data());
        CHECK_EQ(digest(x), expected);
    }
}

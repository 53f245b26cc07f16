// Which kind of codes a store chooses, when it chooses again, and what that costs in memory.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/random.h"
#include "index/row_store.h"
#include "quant/at_level.h"
#include "quant/data.h"
#include "quant/raw/calibrate.h"

using nearfield::DType;
using nearfield::kBlockRows;
using nearfield::Metric;
using nearfield::Random;
using nearfield::RowStore;
using nearfield::RowsView;
using nearfield::ScanKind;

namespace {

constexpr Metric kMetrics[] = {Metric::kL2, Metric::kIp, Metric::kCosine};

bool has_tiles() { return nearfield::selected_isa() == nearfield::Isa::kAmx; }

RowsView view(const data::Rows& rows, std::size_t first, std::size_t count) {
    const std::size_t stride = rows.dim * nearfield::size_of(rows.dtype);
    return {rows.bytes.data() + first * stride, count, rows.dim, stride, rows.dtype};
}

/// Rows of a multivariate normal; `factor` multiplies one dimension.
data::Rows drawn(DType dtype, std::size_t count, std::size_t dim, float factor, Random& random) {
    std::vector<float> x = data::draw("gaussian", count, dim, 1e30, random);
    for (std::size_t i = 0; i < count; ++i) x[i * dim + dim / 2] *= factor;
    return data::store(dtype, count, dim, x);
}

ScanKind choice(const data::Rows& rows, Metric metric) {
    RowStore store(rows.dim, metric, rows.dtype);
    store.append(view(rows, 0, rows.count), nullptr, {}, 1);
    return store.spec.kind;
}

}  // namespace

TEST_AT_LEVELS(ordinary_floats_are_bytes_and_outliers_bfloat16) {
    Random random(41);
    for (const DType dtype : {DType::kF32, DType::kF16}) {
        const data::Rows ordinary = drawn(dtype, 1000, 96, 1.0f, random);
        const data::Rows outlier = drawn(dtype, 1000, 96, 100.0f, random);
        for (const Metric metric : kMetrics) CHECK(choice(ordinary, metric) == ScanKind::kBytes);
        CHECK(choice(outlier, Metric::kL2) == ScanKind::kBF16);
        CHECK(choice(outlier, Metric::kCosine) == ScanKind::kBF16);
    }
}

TEST_AT_LEVELS(norms_do_not_matter) {
    Random random(42);
    for (const float factor : {1e-18f, 1e18f}) {
        std::vector<float> x = data::draw("gaussian", 600, 96, 1e30, random);
        for (float& v : x) v *= factor;
        const data::Rows ordinary = data::store(DType::kF32, 600, 96, x);
        for (std::size_t i = 0; i < 600; ++i) x[i * 96] *= 100.0f;
        const data::Rows outlier = data::store(DType::kF32, 600, 96, x);
        for (const Metric metric : kMetrics) CHECK(choice(ordinary, metric) == ScanKind::kBytes);
        CHECK(choice(outlier, Metric::kL2) == ScanKind::kBF16);
    }
}

TEST_AT_LEVELS(integers_are_bytes) {
    Random random(43);
    for (const DType dtype : {DType::kI8, DType::kU8}) {
        const data::Rows rows =
            data::store(dtype, 500, 16, data::draw("integers", 500, 16, 1e9, random));
        for (const Metric metric : kMetrics) CHECK(choice(rows, metric) == ScanKind::kBytes);
        CHECK(RowStore(16, Metric::kIp, dtype, ScanKind::kBF16).spec.kind == ScanKind::kBytes);
    }
}

/// A few rows cannot tell; the first whole block can.
TEST_AT_LEVELS(a_growing_store_chooses_once_more) {
    Random random(44);
    const data::Rows rows = drawn(DType::kF32, 700, 96, 100.0f, random);
    RowStore store(96, Metric::kL2, DType::kF32);
    store.append(view(rows, 0, 100), nullptr, {}, 1);
    CHECK(store.spec.kind == ScanKind::kBytes);
    const RowStore before = store;
    store.append(view(rows, 100, 200), nullptr, {}, 1);
    CHECK(store.spec.kind == ScanKind::kBF16);
    CHECK_EQ(store.codes.bytes(), 300 * 192U);
    store.append(view(rows, 300, 400), nullptr, {}, 1);
    CHECK_EQ(store.codes.bytes(), 700 * 192U);
    CHECK_EQ(store.spread.bytes(), 700 * sizeof(float));
    CHECK(before.spec.kind == ScanKind::kBytes);
    CHECK_EQ(before.codes.bytes(), 100 * 128U);
}

TEST_AT_LEVELS(bfloat16_rows_are_scanned_in_place) {
    Random random(45);
    for (const std::size_t dim : {std::size_t{96}, std::size_t{100}}) {
        const data::Rows rows = drawn(DType::kBF16, 600, dim, 1.0f, random);
        RowStore store(dim, Metric::kIp, DType::kBF16);
        store.append(view(rows, 0, 600), nullptr, {}, 1);
        CHECK(store.spec.kind == (has_tiles() ? ScanKind::kBF16 : ScanKind::kBytes));
        CHECK_EQ(store.rows.bytes(), 600 * nearfield::round_up(2 * dim, 64));
        CHECK_EQ(store.codes.bytes(), has_tiles() ? 0U : 600 * nearfield::round_up(dim, 64));
        CHECK(store.rows_are_dense() == (dim == 96));
        // Padding is zero: whatever it was, it would be multiplied with the queries' zeros.
        for (std::size_t i = 0; i < 600; ++i) {
            for (std::size_t k = 2 * dim; k < store.row_stride(); ++k) {
                CHECK_EQ(store.rows.data()[i * store.row_stride() + k], 0);
            }
        }
    }
}

/// Norms that float32 sums cannot hold make a store leave its rows for byte codes, also later on.
TEST_AT_LEVELS(extreme_bfloat16_rows_become_bytes) {
    Random random(46);
    const data::Rows rows = drawn(DType::kBF16, 300, 32, 1.0f, random);
    for (const Metric metric : kMetrics) {
        for (const float factor : {1e-30f, 1e20f, 1e30f}) {
            RowStore store(32, metric, DType::kBF16, ScanKind::kBF16);
            store.append(view(rows, 0, 300), nullptr, {}, 1);
            CHECK(store.spec.rows_are_codes());
            std::vector<float> x = data::draw("gaussian", 20, 32, 1e30, random);
            for (float& v : x) v *= factor;
            const data::Rows extreme = data::store(DType::kBF16, 20, 32, x);
            store.append(view(extreme, 0, 20), nullptr, {}, 1);
            CHECK(store.spec.kind == ScanKind::kBytes);
            CHECK_EQ(store.codes.bytes(), 320 * 32U);
            CHECK_EQ(store.spread.bytes(), 0U);
        }
    }
}

TEST(rows_that_are_not_finite_are_named) {
    Random random(47);
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
        std::vector<float> x = data::draw("gaussian", 512, 32, 1e30, random);
        x[300 * 32 + 5] = std::numeric_limits<float>::quiet_NaN();
        const data::Rows rows = data::store(dtype, 512, 32, x);
        for (const ScanKind kind : {ScanKind::kBytes, ScanKind::kBF16}) {
            RowStore store(32, Metric::kL2, dtype, kind);
            CHECK_THROWS(std::invalid_argument, store.append(view(rows, 0, 512), nullptr, {}, 1));
        }
        CHECK_THROWS(std::invalid_argument, choice(rows, Metric::kL2));
    }
}

#include "quant/kmeans/short_nearest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/parallel.h"
#include "kernels/resolve.h"
#include "quant/raw/codes.h"
#include "quant/raw/kinds.h"

namespace nearfield {
namespace {

using kernels::kNearestRows;

/// Blocks of rows for one index of a parallel loop.
constexpr std::size_t kBlocksAtOnce = 16;
/// A centroid that never wins.
constexpr float kNever = 0x1p100f;

/// Centroids as the kernel takes them.
struct Packed {
    std::vector<float> values;     // k x dim, in units
    std::vector<float> shortfall;  // half of squared norm and price, in units^2
    double largest = 0.0;          // of the norms
    double largest_price = 0.0;    // of the prices' share of a shortfall
};

Packed pack(const Centroids& centroids, double unit, double centroid_unit) {
    const std::size_t dim = centroids.rows.cols;
    const std::size_t k = centroids.rows.rows;
    Packed out{std::vector<float>(k * dim), std::vector<float>(k)};
    const std::vector<bool> skip = repeated(centroids);
    for (std::size_t j = 0; j < k; ++j) {
        double squared = 0.0;
        for (std::size_t d = 0; d < dim; ++d) {
            const double c = static_cast<double>(centroids.rows.row(j)[d]) * centroid_unit;
            out.values[j * dim + d] = static_cast<float>(c);
            squared += c * c;
        }
        double price = centroids.price.empty() ? 0.0 : centroids.price[j] * unit * centroid_unit;
        if (!centroids.spherical) price *= 0.5;
        const double half = centroids.spherical ? 0.0 : 0.5 * squared;
        out.shortfall[j] = skip[j] ? kNever : static_cast<float>(half + price);
        out.largest = std::max(out.largest, std::sqrt(squared));
        out.largest_price = std::max(out.largest_price, std::fabs(price));
    }
    return out;
}

/// How much a lead must be to be beyond doubt: row_share * |x|^2 + constant - score_share * best score.
///
/// A float32 score of dim products and the shortfall is off by at most e (|x||c| + h), h = |c|^2 / 2,
/// e = (dim + 3) 2^-24. What comes near the best score S = (|x|^2 - d^2) / 2 has |c| <= |x| + d (1 + 2^-10),
/// and (|x| + |c|)^2 <= 2 (2|x|)^2 + 2 (1.01 d)^2 <= 12 |x|^2 - 5 S. Two scores, and room: 4 e.
struct Doubt {
    float row_share = 0;
    float score_share = 0;
    float constant = 0;

    bool about(float lead, float squared, float best) const noexcept {
        return !(lead > row_share * squared - score_share * best + constant);
    }
};

Doubt doubt_of(const Centroids& centroids, const Packed& packed) {
    const double e = static_cast<double>(centroids.rows.cols + 3) * 0x1p-24 * 4.0;
    Doubt doubt;
    // Products below the normal range; prices move S away from (|x|^2 - d^2) / 2, four times in all.
    double constant = 0x1p-100 + 16.0 * e * packed.largest_price;
    if (centroids.spherical) {
        // |x||c| <= (|x|^2 + |c|^2) / 2
        doubt.row_share = static_cast<float>(0.5 * e);
        constant += 0.5 * e * packed.largest * packed.largest;
    } else {
        doubt.row_share = static_cast<float>(12.0 * e);
        doubt.score_share = static_cast<float>(5.0 * e);
    }
    doubt.constant = static_cast<float>(constant);
    return doubt;
}

/// The nearest by exact keys alone.
std::pair<Id, double> exact_nearest(const Centroids& centroids, const float* row) {
    std::pair<Id, double> best{0, -std::numeric_limits<double>::infinity()};
    for (std::size_t j = 0; j < centroids.rows.rows; ++j) {
        const double key = exact_key(centroids, row, j);
        if (key > best.second) best = {static_cast<Id>(j), key};
    }
    return best;
}

}  // namespace

ShortNearest::ShortNearest(MatrixView<float> rows, std::vector<double> squared, double largest,
                           int threads)
    : rows_(rows),
      squared_(std::move(squared)),
      unit_(unit_for(largest)),
      blocks_((rows.rows + kNearestRows - 1) / kNearestRows * kNearestRows * rows.cols *
              sizeof(float)),
      squared_in_units_(rows.rows) {
    const std::size_t count = (rows.rows + kNearestRows - 1) / kNearestRows;
    float* const to = blocks_.as<float>();
    const std::size_t tasks = (count + kBlocksAtOnce - 1) / kBlocksAtOnce;
    parallel_for(tasks, threads, [&](std::size_t task, int) {
        const std::size_t end = std::min(rows_.rows, (task + 1) * kBlocksAtOnce * kNearestRows);
        for (std::size_t i = task * kBlocksAtOnce * kNearestRows; i < end; ++i) {
            float* at = to + i / kNearestRows * kNearestRows * rows_.cols + i % kNearestRows;
            const float* x = rows_.row(i);
            for (std::size_t d = 0; d < rows_.cols; ++d) {
                at[d * kNearestRows] = static_cast<float>(static_cast<double>(x[d]) * unit_);
            }
            squared_in_units_[i] = round_up_to_float(squared_[i] * unit_ * unit_);
        }
    });
}

std::size_t ShortNearest::find(const Centroids& centroids, bool guessed, Id* nearest, double* keys,
                               int threads) {
    const Packed packed = pack(centroids, unit_, centroids.spherical ? unit_of(centroids) : unit_);
    const Doubt doubt = doubt_of(centroids, packed);
    const std::size_t blocks = (rows_.rows + kNearestRows - 1) / kNearestRows;
    const std::size_t tasks = (blocks + kBlocksAtOnce - 1) / kBlocksAtOnce;
    std::vector<std::size_t> changed(tasks);
    const auto search_block = [&](std::size_t block) {
        alignas(64) std::uint32_t found[kNearestRows];
        alignas(64) float best[kNearestRows];
        alignas(64) float lead[kNearestRows];
        kernels::active().nearest_f32(blocks_.as<float>() + block * kNearestRows * rows_.cols,
                                      rows_.cols, packed.values.data(), packed.shortfall.data(),
                                      packed.shortfall.size(), found, best, lead);
        const std::size_t first = block * kNearestRows;
        const std::size_t count = std::min(kNearestRows, rows_.rows - first);
        std::size_t differ = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t row = first + i;
            Id id = found[i];
            if (doubt.about(lead[i], squared_in_units_[row], best[i])) {
                id = exact_nearest(centroids, rows_.row(row)).first;
            }
            differ += static_cast<std::size_t>(!guessed || nearest[row] != id);
            nearest[row] = id;
            if (keys != nullptr) keys[row] = exact_key(centroids, rows_.row(row), id);
        }
        return differ;
    };
    parallel_for(tasks, threads, [&](std::size_t task, int) {
        const std::size_t end = std::min(blocks, (task + 1) * kBlocksAtOnce);
        for (std::size_t b = task * kBlocksAtOnce; b < end; ++b) {
            checkpoint();
            changed[task] += search_block(b);
        }
    });
    std::size_t total = 0;
    for (const std::size_t c : changed) total += c;
    return total;
}

}  // namespace nearfield

#include "quant/kmeans/nearest.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/resolve.h"
#include "quant/kmeans/panel_nearest.h"
#include "quant/kmeans/short_nearest.h"
#include "quant/raw/codes.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

constexpr std::size_t kChunk = 512;

}  // namespace

std::uint64_t hash_of(const float* x, std::size_t dim) noexcept {
    std::uint64_t sum = 0;
    for (std::size_t k = 0; k < dim; ++k) {
        // Adding zero makes both zeros one.
        sum += std::bit_cast<std::uint32_t>(x[k] + 0.0f) * (0x9e3779b97f4a7c15ULL * (2 * k + 1));
    }
    return splitmix64(sum);
}

std::vector<bool> repeated(const Centroids& centroids) {
    const MatrixView<float>& rows = centroids.rows;
    std::vector<std::pair<std::uint64_t, std::size_t>> order(rows.rows);
    for (std::size_t j = 0; j < rows.rows; ++j) order[j] = {hash_of(rows.row(j), rows.cols), j};
    std::sort(order.begin(), order.end());
    std::vector<bool> skip(rows.rows);
    const auto price = [&](std::size_t j) {
        return centroids.price.empty() ? 0.0 : centroids.price[j];
    };
    for (std::size_t at = 0, first = 0; at < order.size(); ++at) {
        if (order[at].first != order[first].first) first = at;
        const std::size_t a = order[first].second;
        const std::size_t b = order[at].second;
        skip[b] = a != b && price(a) == price(b) &&
                  std::equal(rows.row(a), rows.row(a) + rows.cols, rows.row(b));
    }
    return skip;
}

double unit_of(const Centroids& centroids) {
    double largest = 0.0;
    for (std::size_t j = 0; j < centroids.rows.rows; ++j) {
        largest = std::max(largest, norm_of(centroids.rows.row(j), centroids.rows.cols));
    }
    return unit_for(largest);
}

double exact_key(const Centroids& centroids, const float* row, std::size_t centroid) noexcept {
    const kernels::KernelTable& table = kernels::active();
    const float* c = centroids.rows.row(centroid);
    const double key = centroids.spherical ? table.ip_f32(row, c, centroids.rows.cols)
                                           : -table.l2_f32(row, c, centroids.rows.cols);
    return centroids.price.empty() ? key : key - centroids.price[centroid];
}

std::vector<double> squared_norms_of(MatrixView<float> rows, const char* what, int threads) {
    std::vector<double> squared(rows.rows);
    std::atomic<std::size_t> bad{SIZE_MAX};
    parallel_for((rows.rows + kChunk - 1) / kChunk, threads, [&](std::size_t chunk, int) {
        const std::size_t end = std::min(rows.rows, (chunk + 1) * kChunk);
        for (std::size_t i = chunk * kChunk; i < end; ++i) {
            const float* x = rows.row(i);
            squared[i] = kernels::active().ip_f32(x, x, rows.cols);
            // Squares of float32 do not overflow float64: only NaN and infinity give either.
            if (std::isfinite(squared[i])) continue;
            std::size_t seen = bad.load();
            while (i < seen && !bad.compare_exchange_weak(seen, i)) {
            }
            return;
        }
    });
    if (bad.load() != SIZE_MAX) {
        throw std::invalid_argument(std::string(what) + " " + std::to_string(bad.load()) +
                                    " holds NaN or infinity; expected finite values");
    }
    return squared;
}

std::unique_ptr<NearestCentroid> make_nearest(MatrixView<float> rows, bool spherical,
                                              double largest_centroid, int threads) {
    std::vector<double> squared = squared_norms_of(rows, "row", threads);
    double largest = squared.empty() ? 0.0 : *std::max_element(squared.begin(), squared.end());
    largest = std::sqrt(largest);
    // Centroids that are compared by inner products have a unit of their own.
    if (!spherical) largest = std::max(largest, largest_centroid);
    if (rows.cols <= ShortNearest::kMostColumns) {
        return std::make_unique<ShortNearest>(rows, std::move(squared), largest, threads);
    }
    return std::make_unique<PanelNearest>(rows, std::move(squared), largest, threads);
}

}  // namespace nearfield

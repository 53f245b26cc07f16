// Codebooks by k-means in every sub-space.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "base/parallel.h"
#include "quant/kmeans/kmeans.h"
#include "quant/pq/codebooks.h"
#include "quant/trained.h"

namespace nearfield {

std::vector<float> train_codebooks(const CodebookShape& shape, MatrixView<float> rows,
                                   int iterations, std::uint64_t seed, int threads) {
    const std::size_t width = shape.sub_dim();
    const std::size_t k = shape.k();
    std::vector<float> values(shape.values());
    const auto train_one = [&](std::size_t j, int own_threads) {
        std::vector<float> part(rows.rows * width);
        for (std::size_t i = 0; i < rows.rows; ++i) {
            std::memcpy(part.data() + i * width, rows.row(i) + j * width, width * sizeof(float));
        }
        KMeansOptions options;
        options.k = k;
        options.iterations = iterations;
        options.seed = seed + j;
        const auto found = kmeans({part.data(), rows.rows, width}, options, own_threads);
        std::copy(found.centroids.begin(), found.centroids.end(),
                  values.begin() + static_cast<std::ptrdiff_t>(j * k * width));
    };
    if (shape.m >= static_cast<std::size_t>(max_workers(threads))) {
        parallel_for(shape.m, threads, [&](std::size_t j, int) { train_one(j, 1); });
    } else {
        for (std::size_t j = 0; j < shape.m; ++j) train_one(j, threads);
    }
    return values;
}

}  // namespace nearfield

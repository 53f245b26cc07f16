#include "cuda/train/codebooks.h"

#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/train/kmeans.h"
#include "cuda/train/points.h"
#include "quant/trained.h"

namespace nearfield::cuda {

void train(const StreamRef& stream, ProductQuantizer& quantizer, const DeviceRows& rows,
           std::uint64_t seed) {
    const CodebookShape& shape = quantizer.shape();
    quantizer.require_untrained();
    if (rows.cols != shape.dim) {
        throw std::invalid_argument("got rows of " + std::to_string(rows.cols) +
                                    " columns, expected " + std::to_string(shape.dim));
    }
    require_training_rows(shape, rows.rows);
    const Points all(stream, rows);
    const Points sample = all.chosen(training_rows(rows.rows, most_training_rows(shape), seed));
    KMeansOptions options;
    options.k = shape.k();
    options.iterations = kCodebookIterations;
    Parameter books{"codebooks", shape.m * shape.k(), shape.sub_dim(), {}};
    for (std::size_t j = 0; j < shape.m; ++j) {
        DeviceRows part = sample.rows();
        part.address += j * shape.sub_dim() * size_of(part.dtype);
        part.cols = shape.sub_dim();
        options.seed = seed + j;
        const KMeansResult found = kmeans(stream, part, options, 0);
        books.values.insert(books.values.end(), found.centroids.begin(), found.centroids.end());
    }
    quantizer.restore({&books, 1});
}

}  // namespace nearfield::cuda

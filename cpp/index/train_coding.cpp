#include "index/train_coding.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>

#include "base/parallel.h"
#include "base/random.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// More rows do not train better codes.
constexpr std::size_t kMostRows = std::size_t{1} << 17;

std::vector<std::size_t> sample_of(std::size_t n, std::uint64_t seed) {
    std::vector<std::size_t> chosen(n);
    std::iota(chosen.begin(), chosen.end(), std::size_t{0});
    if (n <= kMostRows) return chosen;
    Random random(seed, 0xc0deULL);
    for (std::size_t i = 0; i < kMostRows; ++i) {
        std::swap(chosen[i], chosen[i + random.below(n - i)]);
    }
    chosen.resize(kMostRows);
    std::sort(chosen.begin(), chosen.end());
    return chosen;
}

}  // namespace

std::shared_ptr<const RowCoding> train_coding(const RowCoding& coding, const RowsView& rows,
                                              Metric metric, std::uint64_t seed,
                                              const Assign& assign, int threads) {
    if (coding.quantizer->is_trained()) return std::make_shared<RowCoding>(coding);
    const std::vector<std::size_t> chosen = sample_of(rows.rows, seed);
    const std::size_t dim = rows.cols;
    std::vector<float> sample(chosen.size() * dim);
    std::atomic<std::size_t> bad{SIZE_MAX};
    parallel_for(chosen.size(), threads, [&](std::size_t i, int) {
        float* x = sample.data() + i * dim;
        widen_plain(rows.dtype, rows.row(chosen[i]), x, dim);
        if (!all_finite(x, dim)) {
            std::size_t seen = bad.load();
            while (chosen[i] < seen && !bad.compare_exchange_weak(seen, chosen[i])) {
            }
        }
        if (metric == Metric::kCosine) normalise(x, dim);
    });
    if (bad.load() != SIZE_MAX) {
        throw std::invalid_argument("row " + std::to_string(bad.load()) +
                                    " holds NaN or infinity; expected finite values: drop or "
                                    "repair that row");
    }
    const MatrixView<float> view(sample.data(), chosen.size(), dim);
    if (coding.residual) {
        const std::vector<Id> lists = assign(view);
        parallel_for(chosen.size(), threads, [&](std::size_t i, int) {
            const float* c = coding.centres() + std::size_t{lists[i]} * dim;
            float* x = sample.data() + i * dim;
            for (std::size_t k = 0; k < dim; ++k) x[k] -= c[k];
        });
    }
    auto trained = make_quantizer(coding.quantizer->name(), dim);
    trained->train(view, seed, threads);
    auto next = std::make_shared<RowCoding>(coding);
    next->set_quantizer(std::move(trained));
    return next;
}

}  // namespace nearfield

// RowStore, where searches read sign planes.
#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <vector>

#include "base/parallel.h"
#include "index/row_store.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

constexpr std::size_t kBlock = kernels::kSignRows;
/// Blocks encoded by one task.
constexpr std::size_t kBlocksAtOnce = 8;

}  // namespace

/// Planes and norms of rows [first, count), which are finite.
void RowStore::derive_signs(std::size_t first, int threads) {
    if (sign_coding == nullptr) sign_coding = coding->sign_coding(spec.metric);
    const std::size_t n = count - first;
    auto* row_norms = spec.metric == Metric::kCosine
                          ? reinterpret_cast<double*>(norms.extend(n * sizeof(double)))
                          : nullptr;
    const SignRows::Writer writer = signs.extend(n, sign_coding->plane_size());
    const Id* list = coding->residual ? list_of.as<Id>() : nullptr;
    std::vector<double> largest(static_cast<std::size_t>(max_workers(threads)), max_norm);
    const std::size_t first_block = first / kBlock;
    const std::size_t blocks = (count + kBlock - 1) / kBlock - first_block;
    const std::size_t tasks = (blocks + kBlocksAtOnce - 1) / kBlocksAtOnce;
    parallel_for(tasks, threads, [&](std::size_t task, int worker) {
        SignCoding::Encoder encoder(*sign_coding);
        std::vector<float> x(spec.dim);
        double& most = largest[static_cast<std::size_t>(worker)];
        const std::size_t start = (first_block + task * kBlocksAtOnce) * kBlock;
        const std::size_t end = std::min(count, start + kBlocksAtOnce * kBlock);
        for (std::size_t row = std::max(first, start); row < end; ++row) {
            widen(spec.dtype, rows.data() + row * row_stride(), x.data(), spec.dim);
            const double norm = norm_of(x.data(), spec.dim);
            if (row_norms != nullptr) {
                row_norms[row - first] = norm;
                normalise(x.data(), spec.dim);
            }
            most = std::max(most, row_norms != nullptr ? 1.0 : norm);
            encoder.encode(x.data(), list != nullptr ? list[row] : 0, writer.block(row / kBlock),
                           row % kBlock);
        }
    });
    max_norm = *std::max_element(largest.begin(), largest.end());
}

}  // namespace nearfield

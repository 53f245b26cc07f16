// What tests of corpus adapters share: rows, maps of them, indexes of every kind, and answers to compare.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/random.h"
#include "index/flat/flat_index.h"
#include "index/hnsw/hnsw_index.h"
#include "index/ivf/ivf_index.h"
#include "transform/corpus_map.h"

namespace adapted {

using namespace nearfield;

inline constexpr Metric kMetrics[] = {Metric::kIp, Metric::kCosine, Metric::kL2};
inline constexpr std::size_t kLists = 6;
/// What make() takes: flat, a graph, lists, lists in groups.
inline constexpr int kKinds = 4;

inline std::vector<float> gaussian(std::size_t n, float scale, std::uint64_t seed) {
    Random random(seed);
    std::vector<float> x(n);
    for (float& value : x) {
        for (int i = 0; i < 12; ++i) value += random.uniform_float() - 0.5f;
        value *= scale;
    }
    return x;
}

inline RowsView view(const std::vector<float>& rows, std::size_t dim) {
    return {rows.data(), rows.size() / dim, dim, dim * sizeof(float), DType::kF32};
}

/// c + u <v, c>; u and v of dim x rank.
inline std::shared_ptr<const CorpusMap> low_rank(const std::vector<float>& u,
                                                 const std::vector<float>& v, std::size_t dim) {
    const std::size_t rank = u.size() / dim;
    return std::make_shared<const CorpusMap>(
        CorpusMap::low_rank({u.data(), dim, rank}, {v.data(), dim, rank}));
}

inline std::shared_ptr<const CorpusMap> matrix(const std::vector<float>& w, std::size_t dim) {
    return std::make_shared<const CorpusMap>(CorpusMap::matrix({w.data(), dim, dim}));
}

/// training: what lists are found from.
inline std::unique_ptr<Index> make(int kind, Metric metric, const RowsView& training,
                                   std::shared_ptr<const RowCoding> coding = nullptr) {
    const std::size_t dim = training.cols;
    if (kind == 0) return std::make_unique<FlatIndex>(dim, metric, DType::kF32, coding);
    if (kind == 1) {
        return std::make_unique<HnswIndex>(dim, metric, DType::kF32, GraphSpec{8, 50, 1}, coding);
    }
    const CoarseKind coarse = kind == 2 ? CoarseKind::kFlat : CoarseKind::kHierarchical;
    auto ivf = std::make_unique<IvfIndex>(dim, metric, DType::kF32, kLists, 1, coding, coarse);
    ivf->train(training, 1);
    return ivf;
}

/// Looks at every row, whatever the kind.
inline SearchOptions everywhere(std::vector<AdapterShare> shares) {
    SearchOptions options;
    options.threads = 2;
    options.nprobe = kLists;
    options.ef_search = 65536;
    options.corpus_adapters = std::move(shares);
    return options;
}

struct Answer {
    std::vector<std::int64_t> ids;
    std::vector<float> scores;
    std::vector<std::int64_t> counts;
    bool operator==(const Answer&) const = default;
};

/// Of `batch` queries a call.
inline Answer ask(const Index& index, const std::vector<float>& queries, std::size_t k,
                  std::size_t batch, const SearchOptions& options) {
    const std::size_t dim = index.snapshot()->spec.dim;
    const std::size_t n = queries.size() / dim;
    Answer out{std::vector<std::int64_t>(n * k), std::vector<float>(n * k),
               std::vector<std::int64_t>(n)};
    for (std::size_t first = 0; first < n; first += batch) {
        index.search(
            {queries.data() + first * dim, std::min(batch, n - first), dim}, k, options,
            {out.ids.data() + first * k, out.scores.data() + first * k, out.counts.data() + first});
    }
    return out;
}

}  // namespace adapted

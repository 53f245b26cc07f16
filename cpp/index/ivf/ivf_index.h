// IvfIndex: rows in the lists of their nearest centroids; a search looks into the lists near the query.
//
// Within those lists the search is exact. Rows lie in the order of lists; rows added later form runs of
// their own until there are too many, then all are put in order again (beside the published store, so
// that searches never wait).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "index/index.h"
#include "index/ivf/coarse.h"
#include "index/list_search.h"
#include "io/archive.h"

namespace nearfield {

class IvfIndex final : public Index {
public:
    static constexpr std::size_t kMaxLists = std::size_t{1} << 24;

    /// Throws std::invalid_argument unless 1 <= dim <= 65536 and 1 <= nlist <= 2^24.
    /// coding: null for rows that are found by their own elements.
    IvfIndex(std::size_t dim, Metric metric, DType dtype, std::size_t nlist, std::uint64_t seed,
             std::shared_ptr<const RowCoding> coding = nullptr,
             CoarseKind coarse = CoarseKind::kFlat);

    const char* kind() const noexcept override { return "ivf"; }
    std::size_t nlist() const noexcept { return nlist_; }
    std::uint64_t seed() const noexcept { return seed_; }
    CoarseKind coarse_kind() const noexcept { return coarse_kind_; }
    bool is_trained() const override { return coarse() != nullptr && Index::is_trained(); }

    /// Finds the centroids, and the codes that rows get.
    void train(const RowsView& rows, int threads) override { train(rows, threads, kmeans); }
    /// The same, the centroids by another's k-means.
    void train(const RowsView& rows, int threads, const Clustering& clustering);

    /// NotTrained before train(). nlist x dim floats.
    std::shared_ptr<const CoarseLists> centroids() const;

    /// Rows of every list, dead ones included.
    std::vector<std::uint32_t> list_sizes() const;

    std::size_t bytes() const override;

    void save(const std::string& path, bool durable) const override;
    static std::unique_ptr<IvfIndex> load(const io::Archive& archive);

private:
    IvfIndex(RowStore store, std::size_t nlist, std::uint64_t seed, CoarseKind kind,
             std::shared_ptr<const CoarseLists> coarse);

    void append(RowStore& store, const RowsView& rows, const std::int64_t* labels,
                std::span<const Id> places, int threads) override;
    std::size_t most_probes() const noexcept override { return nlist_; }
    RowStore compacted(const RowStore& store, int threads) const override;
    void search_store(const RowStore& store, const RowFilter* filter, MatrixView<float> queries,
                      std::size_t k, const SearchOptions& options,
                      const TopKOut& out) const override;
    std::vector<RangeHits> range_search_store(const RowStore& store, const RowFilter* filter,
                                              MatrixView<float> queries, double threshold,
                                              const SearchOptions& options) const override;

    std::shared_ptr<const CoarseLists> coarse() const;
    void set_coarse(std::shared_ptr<const CoarseLists> lists);
    void check_untrained() const;
    /// The store's coding, once there are these lists.
    std::shared_ptr<const RowCoding> coding_about(const RowStore& store,
                                                  const std::shared_ptr<const CoarseLists>& lists,
                                                  const RowsView& rows, int threads) const;
    std::size_t probes_of(const SearchOptions& options) const;
    /// Centroids as the search's adapter has them, made when it is first asked for; null without one.
    std::shared_ptr<const CoarseAdapter> coarse_adapter(const CoarseLists& lists,
                                                        const SearchOptions& options) const;

    std::size_t nlist_;
    std::uint64_t seed_;
    CoarseKind coarse_kind_;
    mutable std::mutex coarse_mutex_;
    std::shared_ptr<const CoarseLists> coarse_;  // null until trained, then never changes
    // Of the maps that searches have asked for and that are still there.
    mutable std::vector<
        std::pair<std::weak_ptr<const CorpusMap>, std::shared_ptr<const CoarseAdapter>>>
        adapted_;
};

}  // namespace nearfield

// Index: what every kind of index has in common: labels, removal, filters, snapshots.
//
// Readers take the current RowStore (one short lock) and work on it; writers are serialised, build
// the next store and publish it whole. A call that throws publishes nothing. A kind says how rows are
// added to a store and how a store is searched; any number of threads may use any of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "index/label_map.h"
#include "index/row_adapter.h"
#include "index/row_store.h"
#include "index/tuning.h"

namespace nearfield {

/// Which live rows may answer: one byte per live row in the order of adding, zero for no.
using Mask = std::span<const std::uint8_t>;

/// A corpus adapter, and how much of it.
struct AdapterShare {
    std::string name;
    double weight = 1.0;
};

/// What one search may be told. Kinds ignore what is not theirs.
struct SearchOptions {
    std::optional<Mask> mask;
    int threads = 0;
    std::size_t nprobe = 1;  // ivf: lists to look into, at most
    // ivf: lists further than the nearest one by more than this are left out, see ivf/margin.h.
    // hnsw: a walk ends at rows further than the k-th nearest by more than this share, see hnsw/walk.h.
    double margin = std::numeric_limits<double>::infinity();
    std::size_t rerank = 0;     // of how many rows, the best by code, what was kept is scored
    double epsilon = 1.0;       // sign planes: deviations that bounds allow for; infinity: certain
    std::size_t ef_search = 0;  // hnsw: breadth of the search, 0: the usual one
    // Rows as I + sum of weight (map - I) has them; none: as they are.
    std::vector<AdapterShare> corpus_adapters;
    const RowAdapter* adapter = nullptr;  // what Index makes of these; queries are folded then
};

class Index {
public:
    Index(const Index&) = delete;
    Index& operator=(const Index&) = delete;
    virtual ~Index() = default;

    /// "flat", "ivf", "hnsw".
    virtual const char* kind() const noexcept = 0;

    /// Learns what coding rows takes; nothing where that is nothing. std::invalid_argument for too few rows
    /// or, in a kind that has lists, when it is trained already. add() trains an index that is not trained
    /// on the rows it is given.
    virtual void train(const RowsView& rows, int threads);
    virtual bool is_trained() const;

    /// labels null: row numbers. Duplicate labels throw unless replace, which drops the old rows.
    /// places: in a kind that has lists and is trained, the list of every row where it is known; empty:
    /// add() finds them.
    void add(const RowsView& rows, const std::int64_t* labels, bool replace, int threads,
             std::span<const Id> places = {});

    /// Labels that are not present are counted out.
    std::size_t remove(std::span<const std::int64_t> labels);

    void search(MatrixView<float> queries, std::size_t k, const SearchOptions& options,
                const TopKOut& out) const;
    std::vector<RangeHits> range_search(MatrixView<float> queries, double threshold,
                                        const SearchOptions& options) const;

    /// Names a linear map of all rows that searches may ask for. std::invalid_argument for a name that is taken,
    /// empty or longer than 256 bytes, or a map of another dim.
    void add_corpus_adapter(const std::string& name, std::shared_ptr<const CorpusMap> map,
                            int threads);
    /// std::invalid_argument for a name that is not known.
    void remove_corpus_adapter(const std::string& name);
    /// In the order of adding.
    std::vector<NamedAdapter> corpus_adapters() const;

    /// What adapters make of all rows; null where they change nothing. The same object until adapters
    /// change or rows are added, for mixtures as long as they are remembered.
    std::shared_ptr<const RowAdapter> adapted_rows(std::span<const AdapterShare> shares,
                                                   int threads) const;
    /// |M x| of all live rows, in the order of labels(); under ip none.
    std::vector<double> lengths(const RowAdapter& rows) const;

    /// Writes labels.size() rows of dim floats, as adapters have them; std::out_of_range names an unknown label.
    void reconstruct(std::span<const std::int64_t> labels, std::span<const AdapterShare> shares,
                     float* out) const;

    /// Of all live rows, in the order of adding.
    std::vector<std::int64_t> labels() const;
    std::vector<bool> contains(std::span<const std::int64_t> labels) const;

    /// Removed rows are not written.
    virtual void save(const std::string& path, bool durable) const = 0;

    /// Null before tuning. Later changes of the rows leave it as it is.
    std::shared_ptr<const TuningTable> tuning() const;
    /// Replaces what was measured for the same k. std::invalid_argument as TuningTable.
    void add_tuning(std::vector<TunedSetting> settings);
    /// The table of a file. CorruptFile where it does not suit the index.
    void restore_tuning(const io::Archive& archive);
    /// The corpus adapters of a file. CorruptFile where they do not suit the index.
    void restore_adapters(const io::Archive& archive);

    std::size_t size() const { return snapshot()->live_count(); }
    std::shared_ptr<const RowStore> snapshot() const;
    virtual std::size_t bytes() const;

protected:
    explicit Index(RowStore store);

    /// Throws std::invalid_argument unless rows have the dim and storage type of the index.
    void check_rows(const RowsView& rows) const;

    void publish(RowStore store);

    /// Writers, one at a time.
    std::unique_lock<std::mutex> write_lock() const { return std::unique_lock(write_mutex_); }

    /// `store` with more rows, while write_lock() is held.
    virtual void append(RowStore& store, const RowsView& rows, const std::int64_t* labels,
                        std::span<const Id> places, int threads);
    /// Dead rows that a store of so many rows may carry before it is compacted.
    virtual std::size_t most_dead(std::size_t rows) const noexcept;
    /// Lists that a search can look into; 0: the kind has none.
    virtual std::size_t most_probes() const noexcept { return 0; }

    /// What only this kind has to know of adapted rows, all rows of a store.
    virtual void adapt_more(RowAdapter& /*rows*/, const RowStore& /*store*/,
                            int /*threads*/) const {}

    /// The live rows of `store` alone.
    virtual RowStore compacted(const RowStore& store, int threads) const;

    virtual void search_store(const RowStore& store, const RowFilter* filter,
                              MatrixView<float> queries, std::size_t k,
                              const SearchOptions& options, const TopKOut& out) const = 0;
    virtual std::vector<RangeHits> range_search_store(const RowStore& store,
                                                      const RowFilter* filter,
                                                      MatrixView<float> queries, double threshold,
                                                      const SearchOptions& options) const = 0;

private:
    void check_new_labels(std::span<const std::int64_t> labels, bool replace) const;
    void drop_dead(RowStore& store, int threads) const;
    /// search(store, rows that may answer, queries, options) of the current snapshot.
    template <class Search>
    void ask(MatrixView<float> queries, const SearchOptions& options, Search&& search) const;
    std::shared_ptr<const RowAdapter> adapted(const RowStore& store,
                                              std::shared_ptr<const CorpusMap> map,
                                              int threads) const;
    /// Null: rows as they are.
    static std::shared_ptr<const CorpusMap> map_of(const RowStore& store,
                                                   std::span<const AdapterShare> shares);
    std::shared_ptr<const RowAdapter> adapter_of(const std::shared_ptr<const RowStore>& store,
                                                 std::span<const AdapterShare> shares,
                                                 int threads) const;
    std::optional<Id> row_of(const RowStore& store, std::int64_t label) const {
        return label_map_.find(store, label);
    }

    mutable std::mutex write_mutex_;  // one writer; also guards label_map_
    mutable std::mutex publish_mutex_;
    std::shared_ptr<const RowStore> store_;
    std::shared_ptr<const TuningTable> tuning_;
    mutable LabelMap label_map_;

    /// What searches asked for lately.
    struct Mixture {
        std::vector<std::shared_ptr<const CorpusMap>> maps;
        std::vector<double> weights;
        std::weak_ptr<const RowStore> store;
        std::shared_ptr<const RowAdapter> rows;
    };
    static constexpr std::size_t kMostMixtures = 8;
    mutable std::mutex mixtures_mutex_;
    mutable std::vector<Mixture> mixtures_;
};

/// Throws std::invalid_argument unless 1 <= dim <= 65536.
void check_dim(std::size_t dim);

/// What an index without rows starts with. coding null: rows are stored as their own elements. Throws as
/// check_dim() does.
RowStore empty_store(std::size_t dim, Metric metric, DType dtype,
                     std::shared_ptr<const RowCoding> coding);

/// Throws std::invalid_argument unless queries have the store's dim and are finite.
void check_queries(const RowStore& store, MatrixView<float> queries);

/// The rows that a mask lets answer.
RowFilter filter_of(const RowStore& store, Mask mask);

}  // namespace nearfield

#include "index/flat/flat_index.h"

#include "index/coded_search.h"
#include "index/row_file.h"

namespace nearfield {
FlatIndex::FlatIndex(std::size_t dim, Metric metric, DType dtype,
                     std::shared_ptr<const RowCoding> coding)
    : Index(empty_store(dim, metric, dtype, std::move(coding))) {}

void FlatIndex::search_store(const RowStore& store, const RowFilter* filter,
                             MatrixView<float> queries, std::size_t k, const SearchOptions& options,
                             const TopKOut& out) const {
    search_exhaustively(store.view(filter, options.adapter), queries,
                        {k, options.rerank, options.epsilon}, options.threads, out);
}

std::vector<RangeHits> FlatIndex::range_search_store(const RowStore& store, const RowFilter* filter,
                                                     MatrixView<float> queries, double threshold,
                                                     const SearchOptions& options) const {
    return range_search_rows(store.view(filter, options.adapter), queries, threshold,
                             options.threads);
}

void FlatIndex::save(const std::string& path, bool durable) const {
    std::shared_ptr<const RowStore> store = snapshot();
    if (store->dead != 0) store = std::make_shared<RowStore>(compacted(*store, 0));
    const RowSections sections(*store, IndexKind::kFlat);
    io::ArchiveWriter writer;
    sections.add_to(writer);
    const auto tuned = tuning();
    if (tuned != nullptr) tuned->add_to(writer);
    writer.save(path, durable);
}

std::unique_ptr<FlatIndex> FlatIndex::load(const io::Archive& archive) {
    // Rows in the order of lists would answer under wrong labels.
    for (const auto type : {io::SectionType::kListSizes, io::SectionType::kArrival}) {
        if (archive.find(type) != nullptr) corrupt(archive, "meta", "a flat index that has lists");
    }
    if (archive.find(io::SectionType::kGraph) != nullptr) {
        corrupt(archive, "meta", "a flat index that has a graph");
    }
    RowStore store = read_rows(archive, read_meta(archive, IndexKind::kFlat));
    if (store.coding != nullptr && store.coding->residual) {
        corrupt(archive, "quantizer", "codes about centroids in a flat index");
    }
    return std::make_unique<FlatIndex>(std::move(store));
}

void topk_once(const RowsView& rows, Metric metric, MatrixView<float> queries, std::size_t k,
               std::optional<Mask> mask, bool exclude_self, int threads, const TopKOut& out) {
    check_dim(rows.cols);
    const RowStore store = RowStore::borrow(rows, metric, threads);
    check_queries(store, queries);
    if (!mask.has_value()) {
        search_rows(store.view(nullptr), queries, k, exclude_self, threads, out);
        return;
    }
    const RowFilter filter = filter_of(store, *mask);
    search_rows(store.view(&filter), queries, k, exclude_self, threads, out);
}

}  // namespace nearfield

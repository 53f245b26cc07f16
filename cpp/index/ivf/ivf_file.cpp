// IvfIndex on disk: rows in the order of lists, the sizes of these, the centroids once trained, and the sizes
// of their groups where they lie in any.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "index/ivf/flat_coarse.h"
#include "index/ivf/hierarchical_coarse.h"
#include "index/ivf/ivf_index.h"
#include "index/row_file.h"

namespace nearfield {
namespace {

/// Every number from 0 on occurs once.
bool is_permutation_of_rows(std::span<const Id> numbers) {
    std::vector<bool> seen(numbers.size(), false);
    for (const Id number : numbers) {
        if (number >= seen.size() || seen[number]) return false;
        seen[number] = true;
    }
    return true;
}

std::span<const std::uint32_t> list_sizes_of(const io::Archive& archive, std::size_t count) {
    const io::Section& section =
        archive.require(io::SectionType::kListSizes, io::ElementType::kU32);
    archive.require(io::SectionType::kListSizes, io::ElementType::kU32, section.rows, 1);
    const auto sizes = section.as<std::uint32_t>();
    if (sizes.empty() || sizes.size() > IvfIndex::kMaxLists) {
        corrupt(archive, "list_sizes", std::to_string(sizes.size()) + " lists");
    }
    const auto total = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
    if (total != count) {
        corrupt(archive, "list_sizes",
                "lists of " + std::to_string(total) + " rows, but " + std::to_string(count) +
                    " rows are there");
    }
    return sizes;
}

/// Nothing where centroids lie in no groups; no sizes before training.
std::optional<std::span<const std::uint32_t>> group_sizes_of(const io::Archive& archive,
                                                             std::size_t nlist) {
    const io::Section* found = archive.find(io::SectionType::kGroupSizes);
    if (found == nullptr) return std::nullopt;
    const auto sizes =
        archive.require(io::SectionType::kGroupSizes, io::ElementType::kU32, found->rows, 1)
            .as<std::uint32_t>();
    const bool trained = archive.find(io::SectionType::kCentroids) != nullptr;
    const auto total = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
    if (total != (trained ? nlist : 0)) {
        corrupt(archive, "group_sizes",
                "groups of " + std::to_string(total) + " centroids, but " +
                    std::to_string(trained ? nlist : 0) + " are there");
    }
    if (std::find(sizes.begin(), sizes.end(), 0u) != sizes.end()) {
        corrupt(archive, "group_sizes", "an empty group");
    }
    return sizes;
}

std::shared_ptr<const CoarseLists> centroids_of(
    const io::Archive& archive, std::size_t nlist, const RowMeta& meta,
    const std::optional<std::span<const std::uint32_t>>& groups) {
    if (archive.find(io::SectionType::kCentroids) == nullptr) return nullptr;
    const auto values =
        archive.require(io::SectionType::kCentroids, io::ElementType::kF32, nlist, meta.dim)
            .as<float>();
    for (const float value : values) {
        if (!std::isfinite(value)) corrupt(archive, "centroids", "NaN or infinity");
    }
    const auto metric = static_cast<Metric>(meta.metric);
    if (!groups) return std::make_shared<const FlatCoarse>(metric, meta.dim, values);
    return std::make_shared<const HierarchicalCoarse>(metric, meta.dim, values, *groups);
}

}  // namespace

void IvfIndex::save(const std::string& path, bool durable) const {
    std::shared_ptr<const RowStore> store = snapshot();
    if (store->dead != 0 || !store->lists->in_order()) {
        store = std::make_shared<RowStore>(compacted(*store, 0));
    }
    const RowSections sections(*store, IndexKind::kIvf);
    io::ArchiveWriter writer;
    sections.add_to(writer);
    writer.add(io::SectionType::kArrival, io::ElementType::kU32, store->count, 1,
               store->arrival.data());
    writer.add(io::SectionType::kListSizes, io::ElementType::kU32, nlist_, 1,
               store->lists->sizes().data());
    writer.add(io::SectionType::kSeed, io::ElementType::kU64, 1, 1, &seed_);
    const auto trained = coarse();
    if (trained != nullptr) {
        writer.add(io::SectionType::kCentroids, io::ElementType::kF32, nlist_, store->spec.dim,
                   trained->centroids());
    }
    if (coarse_kind_ == CoarseKind::kHierarchical) {
        const auto groups =
            trained != nullptr ? trained->group_sizes() : std::span<const std::uint32_t>();
        writer.add(io::SectionType::kGroupSizes, io::ElementType::kU32, groups.size(), 1,
                   groups.data());
    }
    const auto tuned = tuning();
    if (tuned != nullptr) tuned->add_to(writer);
    writer.save(path, durable);
}

std::unique_ptr<IvfIndex> IvfIndex::load(const io::Archive& archive) {
    const RowMeta meta = read_meta(archive, IndexKind::kIvf);
    const auto sizes = list_sizes_of(archive, meta.count);
    const io::Section& arrival =
        archive.require(io::SectionType::kArrival, io::ElementType::kU32, meta.count, 1);
    if (!is_permutation_of_rows(arrival.as<Id>())) {
        corrupt(archive, "arrival", "not a permutation of the rows");
    }
    const std::uint64_t seed =
        archive.require(io::SectionType::kSeed, io::ElementType::kU64, 1, 1).as<std::uint64_t>()[0];
    const auto groups = group_sizes_of(archive, sizes.size());
    auto centroids = centroids_of(archive, sizes.size(), meta, groups);
    if (centroids == nullptr && meta.count != 0) {
        corrupt(archive, "centroids", "missing, but rows are there");
    }
    FileCentres centres{nullptr, 0.0, sizes};
    if (centroids != nullptr) {
        centres.centres = std::shared_ptr<const float>(centroids, centroids->centroids());
        centres.max_norm = centroids->max_norm();
    }
    RowStore store = read_rows(archive, meta, centres);
    store.arrival = Column(archive.buffer(arrival));
    store.lists = std::make_shared<Lists>(Lists(sizes.size()).extended(0, sizes));
    return std::unique_ptr<IvfIndex>(
        new IvfIndex(std::move(store), sizes.size(), seed,
                     groups ? CoarseKind::kHierarchical : CoarseKind::kFlat, std::move(centroids)));
}

}  // namespace nearfield

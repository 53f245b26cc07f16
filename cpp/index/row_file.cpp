#include "index/row_file.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <unordered_set>

#include "base/error.h"
#include "index/adapter_file.h"
#include "index/coding_file.h"

namespace nearfield {
namespace {

constexpr std::uint32_t kKindVersion = 1;
/// Counts rows ever added, so that no real file comes near; above, adding rows could overflow.
constexpr std::int64_t kMostNextLabel = std::int64_t{1} << 62;

io::ElementType element_of(DType dtype) {
    switch (dtype) {
        case DType::kF32: return io::ElementType::kF32;
        case DType::kF16: return io::ElementType::kF16;
        case DType::kBF16: return io::ElementType::kBF16;
        case DType::kI8: return io::ElementType::kI8;
        case DType::kU8: return io::ElementType::kU8;
    }
    return io::ElementType::kBytes;
}

/// Rows as files hold them (int8 rows plain, no padding).
std::vector<std::uint8_t> dense_bytes(const RowStore& store) {
    if (store.rows_are_dense() || store.rows.bytes() == 0) return {};
    const RowsView view = store.view(nullptr).rows;
    const std::size_t width = view.cols * size_of(view.dtype);
    std::vector<std::uint8_t> out(view.rows * width);
    for (std::size_t i = 0; i < view.rows; ++i) {
        std::memcpy(out.data() + i * width, view.row(i), width);
    }
    if (view.dtype == DType::kI8) {
        for (std::uint8_t& byte : out) byte ^= 0x80u;
    }
    return out;
}

}  // namespace

void corrupt(const io::Archive& archive, const std::string& section, const std::string& what) {
    throw CorruptFile(archive.path() + ": section " + section + ": " + what);
}

IndexKind kind_of(const io::Archive& archive) {
    const io::Section& section = archive.require(io::SectionType::kMeta, io::ElementType::kBytes);
    std::uint32_t kind = 0;
    if (section.data.size() >= sizeof kind) {
        std::memcpy(&kind, section.data.data(), sizeof kind);
    }
    if (kind < 1 || kind > 3) {
        corrupt(archive, "meta", "unknown index kind " + std::to_string(kind));
    }
    return IndexKind{kind};
}

RowMeta read_meta(const io::Archive& archive, IndexKind kind) {
    const io::Section& section = archive.require(io::SectionType::kMeta, io::ElementType::kBytes);
    if (section.data.size() != sizeof(RowMeta)) {
        corrupt(archive, "meta",
                "expected " + std::to_string(sizeof(RowMeta)) + " bytes, got " +
                    std::to_string(section.data.size()));
    }
    RowMeta meta{};
    std::memcpy(&meta, section.data.data(), sizeof meta);
    if (meta.kind != static_cast<std::uint32_t>(kind)) {
        corrupt(archive, "meta", "unknown index kind " + std::to_string(meta.kind));
    }
    if (meta.kind_version != kKindVersion) {
        corrupt(archive, "meta",
                "index kind " + std::to_string(meta.kind) + " in version " +
                    std::to_string(meta.kind_version) +
                    "; this release reads 1: upgrade nearfield");
    }
    if (meta.metric > 2) corrupt(archive, "meta", "unknown metric " + std::to_string(meta.metric));
    if (meta.dtype > 4)
        corrupt(archive, "meta", "unknown storage type " + std::to_string(meta.dtype));
    if (meta.dim == 0 || meta.dim > 65536)
        corrupt(archive, "meta", "dim " + std::to_string(meta.dim));
    if (meta.count >= UINT32_MAX) corrupt(archive, "meta", "count " + std::to_string(meta.count));
    if (meta.has_labels > 1)
        corrupt(archive, "meta", "has_labels " + std::to_string(meta.has_labels));
    if (meta.next_label < static_cast<std::int64_t>(meta.count) && meta.has_labels == 0) {
        corrupt(archive, "meta",
                "next label " + std::to_string(meta.next_label) + " is already in use");
    }
    if (meta.next_label < 0 || meta.next_label > kMostNextLabel) {
        corrupt(archive, "meta", "next label " + std::to_string(meta.next_label));
    }
    if (meta.has_labels == 1) {
        const auto labels =
            archive.require(io::SectionType::kLabels, io::ElementType::kI64, meta.count, 1)
                .as<std::int64_t>();
        std::unordered_set<std::int64_t> seen(labels.begin(), labels.end());
        if (seen.size() != labels.size() || seen.count(kMissing) != 0) {
            corrupt(archive, "labels", "labels are not unique");
        }
    }
    return meta;
}

RowSections::RowSections(const RowStore& store, IndexKind kind)
    : store_(store),
      meta_{static_cast<std::uint32_t>(kind),
            kKindVersion,
            static_cast<std::uint32_t>(store.spec.metric),
            static_cast<std::uint32_t>(store.spec.dtype),
            store.spec.dim,
            store.count,
            store.next_label,
            store.default_labels ? 0u : 1u},
      dense_(dense_bytes(store)),
      adapters_(adapter_bytes(store.adapters)) {
    if (store.coding != nullptr) coding_ = coding_bytes(*store.coding);
}

void RowSections::add_to(io::ArchiveWriter& writer) const {
    writer.add(io::SectionType::kMeta, io::ElementType::kBytes, 1, sizeof meta_, &meta_);
    if (store_.coding == nullptr || store_.coding->keeps_rows) {
        writer.add(io::SectionType::kRows, element_of(store_.spec.dtype), store_.count,
                   store_.spec.dim, store_.rows_are_dense() ? store_.rows.data() : dense_.data());
    }
    if (store_.coding != nullptr) {
        writer.add(io::SectionType::kQuantizer, io::ElementType::kBytes, 1, coding_.size(),
                   coding_.data());
        writer.add(io::SectionType::kCodes, io::ElementType::kU8, store_.count,
                   store_.coding->quantizer->code_size(), store_.codes.data());
    }
    if (!adapters_.empty()) {
        writer.add(io::SectionType::kCorpusAdapters, io::ElementType::kBytes, 1, adapters_.size(),
                   adapters_.data());
    }
    if (!store_.default_labels) {
        writer.add(io::SectionType::kLabels, io::ElementType::kI64, store_.count, 1,
                   store_.labels.data());
    }
}

namespace {

/// The list of each row, list by list.
Column lists_of_rows(std::span<const std::uint32_t> sizes, std::size_t count) {
    Column out;
    auto* to = reinterpret_cast<Id*>(out.extend(count * sizeof(Id)));
    for (std::size_t list = 0; list < sizes.size(); ++list) {
        to = std::fill_n(to, sizes[list], static_cast<Id>(list));
    }
    return out;
}

RowStore read_coded(const io::Archive& archive, const RowMeta& meta,
                    std::shared_ptr<RowCoding> coding, const FileCentres& centres) {
    const auto dtype = static_cast<DType>(meta.dtype);
    Buffer rows;
    if (!coding->keeps_rows && dtype != DType::kF32) {
        corrupt(archive, "meta",
                "storage type " + std::to_string(meta.dtype) + ", but no rows are kept");
    }
    if (!coding->keeps_rows && archive.find(io::SectionType::kRows) != nullptr) {
        corrupt(archive, "rows", "rows beside codes that keep none");
    }
    if (coding->keeps_rows) {
        rows = archive.buffer(
            archive.require(io::SectionType::kRows, element_of(dtype), meta.count, meta.dim));
    }
    const io::Section& codes = archive.require(io::SectionType::kCodes, io::ElementType::kU8,
                                               meta.count, coding->quantizer->code_size());
    Column list_of;
    if (coding->residual) {
        if (meta.count != 0 && centres.centres == nullptr) {
            corrupt(archive, "quantizer", "codes about centroids, but there are none");
        }
        coding->set_centres(centres.centres, centres.list_sizes.size(), centres.max_norm);
        list_of = lists_of_rows(centres.list_sizes, meta.count);
    }
    if (meta.count != 0 && !coding->is_trained()) {
        corrupt(archive, "quantizer", "not trained, but rows are there");
    }
    return RowStore::restore_coded(meta.dim, static_cast<Metric>(meta.metric), dtype,
                                   std::move(coding), meta.count, std::move(rows),
                                   archive.buffer(codes), std::move(list_of));
}

RowStore read_plain(const io::Archive& archive, const RowMeta& meta) {
    const auto dtype = static_cast<DType>(meta.dtype);
    if (archive.find(io::SectionType::kCodes) != nullptr) {
        corrupt(archive, "codes", "no quantizer says what they mean");
    }
    const io::Section& rows =
        archive.require(io::SectionType::kRows, element_of(dtype), meta.count, meta.dim);
    return RowStore::restore(meta.dim, static_cast<Metric>(meta.metric), dtype, meta.count,
                             archive.buffer(rows));
}

}  // namespace

RowStore read_rows(const io::Archive& archive, const RowMeta& meta, const FileCentres& centres) {
    const io::Section* labels = archive.find(io::SectionType::kLabels);
    auto coding = read_coding(archive, meta.dim);
    try {
        RowStore store = coding != nullptr ? read_coded(archive, meta, std::move(coding), centres)
                                           : read_plain(archive, meta);
        store.name_rows(meta.has_labels == 1 ? labels->as<std::int64_t>().data() : nullptr,
                        meta.next_label);
        return store;
    } catch (const std::invalid_argument& error) {
        corrupt(archive, "rows", error.what());
    }
}

}  // namespace nearfield

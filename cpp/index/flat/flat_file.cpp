// FlatIndex on disk: the rows and their labels. Codes are derived, so they are made again at load and
// a file cannot lie about them. Removed rows are not written.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <unordered_set>

#include "base/error.h"
#include "index/flat/flat_index.h"
#include "io/archive.h"

namespace nearfield {
namespace {

constexpr std::uint32_t kKindFlat = 1;
constexpr std::uint32_t kKindVersion = 1;
/// Counts rows ever added, so that no real file comes near; above, adding rows could overflow.
constexpr std::int64_t kMostNextLabel = std::int64_t{1} << 62;

/// The fixed-size fields of the kMeta section, little-endian.
struct FlatMeta {
    std::uint32_t kind;
    std::uint32_t kind_version;
    std::uint32_t metric;
    std::uint32_t dtype;
    std::uint64_t dim;
    std::uint64_t count;
    std::int64_t next_label;
    std::uint64_t has_labels;
};
static_assert(sizeof(FlatMeta) == 48);

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

[[noreturn]] void corrupt(const io::Archive& archive, const std::string& what) {
    throw CorruptFile(archive.path() + ": section meta: " + what);
}

/// Everything a RowStore relies on, checked before one exists.
FlatMeta validate(const io::Archive& archive) {
    const io::Section& section = archive.require(io::SectionType::kMeta, io::ElementType::kBytes);
    if (section.data.size() != sizeof(FlatMeta)) {
        corrupt(archive, "expected " + std::to_string(sizeof(FlatMeta)) + " bytes, got " +
                             std::to_string(section.data.size()));
    }
    FlatMeta meta{};
    std::memcpy(&meta, section.data.data(), sizeof meta);
    if (meta.kind != kKindFlat) corrupt(archive, "unknown index kind " + std::to_string(meta.kind));
    if (meta.kind_version != kKindVersion) {
        corrupt(archive, "flat index version " + std::to_string(meta.kind_version) +
                             "; this release reads 1: upgrade nearfield");
    }
    if (meta.metric > 2) corrupt(archive, "unknown metric " + std::to_string(meta.metric));
    if (meta.dtype > 4) corrupt(archive, "unknown storage type " + std::to_string(meta.dtype));
    if (meta.dim == 0 || meta.dim > 65536) corrupt(archive, "dim " + std::to_string(meta.dim));
    if (meta.count >= UINT32_MAX) corrupt(archive, "count " + std::to_string(meta.count));
    if (meta.has_labels > 1) corrupt(archive, "has_labels " + std::to_string(meta.has_labels));
    if (meta.next_label < static_cast<std::int64_t>(meta.count) && meta.has_labels == 0) {
        corrupt(archive, "next label " + std::to_string(meta.next_label) + " is already in use");
    }
    if (meta.next_label < 0 || meta.next_label > kMostNextLabel) {
        corrupt(archive, "next label " + std::to_string(meta.next_label));
    }
    archive.require(io::SectionType::kRows, element_of(static_cast<DType>(meta.dtype)), meta.count,
                    meta.dim);
    if (meta.has_labels == 1) {
        const auto labels =
            archive.require(io::SectionType::kLabels, io::ElementType::kI64, meta.count, 1)
                .as<std::int64_t>();
        std::unordered_set<std::int64_t> seen(labels.begin(), labels.end());
        if (seen.size() != labels.size() || seen.count(kMissing) != 0) {
            throw CorruptFile(archive.path() + ": section labels: labels are not unique");
        }
    }
    return meta;
}

/// Rows as files hold them (int8 rows plain, no padding).
std::vector<std::uint8_t> dense_bytes(const RowStore& store) {
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

void FlatIndex::save(const std::string& path, bool durable) const {
    std::shared_ptr<const RowStore> store = snapshot();
    if (store->dead != 0) store = std::make_shared<RowStore>(compacted(*store));
    const FlatMeta meta{kKindFlat,
                        kKindVersion,
                        static_cast<std::uint32_t>(store->spec.metric),
                        static_cast<std::uint32_t>(store->spec.dtype),
                        store->spec.dim,
                        store->count,
                        store->next_label,
                        store->default_labels ? 0u : 1u};
    const bool as_stored = store->rows_are_dense();
    const std::vector<std::uint8_t> dense =
        as_stored ? std::vector<std::uint8_t>() : dense_bytes(*store);
    io::ArchiveWriter writer;
    writer.add(io::SectionType::kMeta, io::ElementType::kBytes, 1, sizeof meta, &meta);
    writer.add(io::SectionType::kRows, element_of(store->spec.dtype), store->count, store->spec.dim,
               as_stored ? store->rows.data() : dense.data());
    if (!store->default_labels) {
        writer.add(io::SectionType::kLabels, io::ElementType::kI64, store->count, 1,
                   store->labels.data());
    }
    writer.save(path, durable);
}

std::unique_ptr<FlatIndex> FlatIndex::load(const std::string& path, bool mmap, bool verify) {
    const io::Archive archive = io::Archive::open(path, mmap, verify);
    const FlatMeta meta = validate(archive);
    const auto dtype = static_cast<DType>(meta.dtype);
    const io::Section& rows = archive.require(io::SectionType::kRows, element_of(dtype));
    const io::Section* labels = archive.find(io::SectionType::kLabels);
    const auto* names = meta.has_labels == 1 ? labels->as<std::int64_t>().data() : nullptr;
    try {
        RowStore store = RowStore::restore(meta.dim, static_cast<Metric>(meta.metric), dtype,
                                           meta.count, archive.buffer(rows));
        store.name_rows(names, meta.next_label);
        return std::make_unique<FlatIndex>(std::move(store));
    } catch (const std::invalid_argument& error) {
        throw CorruptFile(archive.path() + ": section rows: " + error.what());
    }
}

}  // namespace nearfield

// What every index file holds: what kind it is, rows and their labels.
//
// Codes of a row's own elements are derived, so they are made again at load and a file cannot lie about
// them. A quantizer's codes are what there is of a row: they are stored, and any bytes are valid codes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "index/row_store.h"
#include "io/archive.h"

namespace nearfield {

/// Values are part of the file format: never renumber.
enum class IndexKind : std::uint32_t { kFlat = 1, kIvf = 2, kHnsw = 3 };

/// The fixed-size fields of the kMeta section, little-endian.
struct RowMeta {
    std::uint32_t kind;
    std::uint32_t kind_version;
    std::uint32_t metric;
    std::uint32_t dtype;
    std::uint64_t dim;
    std::uint64_t count;
    std::int64_t next_label;
    std::uint64_t has_labels;
};
static_assert(sizeof(RowMeta) == 48);

/// The kind a file says it is. CorruptFile when it is none.
IndexKind kind_of(const io::Archive& archive);

/// The sections of a store without dead rows; both must outlive the writer's save().
class RowSections {
public:
    RowSections(const RowStore& store, IndexKind kind);
    void add_to(io::ArchiveWriter& writer) const;

private:
    const RowStore& store_;
    RowMeta meta_;
    std::vector<std::uint8_t> dense_;     // rows as files hold them, where the store does not
    std::vector<std::uint8_t> coding_;    // empty: codes are derived
    std::vector<std::uint8_t> adapters_;  // empty: none
};

/// What a file's kMeta says, found to be consistent. CorruptFile names what is wrong.
RowMeta read_meta(const io::Archive& archive, IndexKind kind);

/// The centroids that codes may be about, and whose each row is.
struct FileCentres {
    std::shared_ptr<const float> centres;
    double max_norm = 0.0;
    std::span<const std::uint32_t> list_sizes;
};

/// The store of a file; rows stay in the archive's bytes where they can. CorruptFile names what is
/// wrong, before a store exists.
RowStore read_rows(const io::Archive& archive, const RowMeta& meta,
                   const FileCentres& centres = {});

[[noreturn]] void corrupt(const io::Archive& archive, const std::string& section,
                          const std::string& what);

}  // namespace nearfield

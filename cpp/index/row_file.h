// What every index file holds: what kind it is, rows and their labels.
//
// Codes are derived, so they are made again at load and a file cannot lie about them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "index/row_store.h"
#include "io/archive.h"

namespace nearfield {

/// Values are part of the file format: never renumber.
enum class IndexKind : std::uint32_t { kFlat = 1, kIvf = 2 };

/// The kind a file says it is. CorruptFile when it is none.
IndexKind kind_of(const io::Archive& archive);

/// The sections of a store without dead rows; both must outlive the writer's save().
class RowSections {
public:
    RowSections(const RowStore& store, IndexKind kind);
    void add_to(io::ArchiveWriter& writer) const;

private:
    /// The fixed-size fields of the kMeta section, little-endian.
    struct Meta {
        std::uint32_t kind;
        std::uint32_t kind_version;
        std::uint32_t metric;
        std::uint32_t dtype;
        std::uint64_t dim;
        std::uint64_t count;
        std::int64_t next_label;
        std::uint64_t has_labels;
    };
    static_assert(sizeof(Meta) == 48);
    static Meta validate(const io::Archive& archive, IndexKind kind);
    friend RowStore read_rows(const io::Archive& archive, IndexKind kind);

    const RowStore& store_;
    Meta meta_;
    std::vector<std::uint8_t> dense_;  // rows as files hold them, where the store does not
};

/// The store of a file; rows stay in the archive's bytes where they can. CorruptFile names what is
/// wrong, before a store exists.
RowStore read_rows(const io::Archive& archive, IndexKind kind);

[[noreturn]] void corrupt(const io::Archive& archive, const std::string& section,
                          const std::string& what);

}  // namespace nearfield

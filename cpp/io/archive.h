// The one container format: a fixed header, a table of contents and typed two-dimensional sections.
//
// Idea: where a section lies is a pure function of the section lengths, so a file has exactly one
// valid layout; a reader recomputes it and compares, which leaves no hole, overlap or trailing
// byte. Every byte is covered by a CRC32C or must be zero. Structure is validated completely before
// any object exists, whatever `verify` says. Byte layout: docs/format.md. Cost: open(mmap, no
// verify) touches the table and the padding; verify reads every byte once. Source: own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"

namespace nearfield::io {

/// What a section holds. Values are part of the file format: never renumber, never reuse.
enum class SectionType : std::uint32_t {
    kMeta = 1,             // fixed-size fields of the index kind
    kRows = 2,             // vectors as stored
    kCodes = 3,            // quantizer codes
    kRowScale = 4,         // one scale per row
    kRowNorm = 5,          // one norm per row
    kLabels = 6,           // the user's id of each row
    kTombstones = 7,       // rows removed and not yet compacted
    kListSizes = 8,        // rows of each inverted list, in the order of lists
    kCentroids = 9,        // one vector per inverted list
    kArrival = 10,         // as how many-th each row was added
    kSeed = 11,            // what training draws by
    kQuantizer = 14,       // what turns rows into codes, see index/coding_file.cpp
    kGroupSizes = 15,      // centroids of each group, where they lie group by group
    kGraph = 16,           // fixed-size fields of a graph, see index/hnsw/hnsw_file.cpp
    kGraphCentre = 17,     // what its walk codes are about
    kGraphNodes = 18,      // the row of each node
    kGraphLinks = 19,      // the nodes each node leads to
    kTuning = 20,          // which search parameters reach which recall
    kGraphLevels = 21,     // nodes and links of the levels above
    kCorpusAdapters = 22,  // maps by which rows can be searched, see index/adapter_file.cpp
    kUserMetadata = 100,   // opaque to this library
};

/// Element type of a section. Values are part of the file format: never renumber.
enum class ElementType : std::uint32_t {
    kBytes = 0,
    kF32 = 1,
    kF16 = 2,
    kBF16 = 3,
    kI8 = 4,
    kU8 = 5,
    kU32 = 6,
    kI64 = 7,
    kU64 = 8,
    kF64 = 9,
};

/// Bytes of one element; 0 for a value that is no element type.
std::size_t size_of(ElementType element) noexcept;
/// "rows", "labels", ...; "unknown" for a type this release does not know.
std::string_view name_of(SectionType type) noexcept;
/// "f32", "bytes", ...; "unknown" for a value that is no element type.
std::string_view name_of(ElementType element) noexcept;

/// One section of an open archive: rows x cols elements, row-major and dense. `data` lives as long
/// as the Archive, or as long as a Buffer taken from it with Archive::buffer().
struct Section {
    SectionType type;
    ElementType element;
    std::uint64_t rows;
    std::uint64_t cols;
    std::uint64_t offset;  // in the file
    std::uint32_t crc;     // CRC32C of data
    std::span<const std::byte> data;

    /// The elements as T; the caller has checked the element type (Archive::require does).
    template <class T>
    std::span<const T> as() const noexcept {
        return {reinterpret_cast<const T*>(data.data()), data.size() / sizeof(T)};
    }
};

/// Collects sections and writes them as one file, all or nothing.
/// Thread-safety: one thread at a time; saves of different writers to one path are safe, the last
/// whole one wins.
class ArchiveWriter {
public:
    /// Adds a section of rows x cols elements. `data` is borrowed until the last save() or
    /// serialize(); it may be null when there is nothing in it.
    /// Throws std::invalid_argument for a type added twice, more than 256 sections, an unknown
    /// element type or sizes that overflow 64 bits.
    void add(SectionType type, ElementType element, std::uint64_t rows, std::uint64_t cols,
             const void* data);

    /// Writes the file: temporary file in the same directory, fsync, rename, fsync of the
    /// directory. With durable=false the two fsyncs are left out (still atomic for readers, not for
    /// power loss). Follows symbolic links and keeps the mode bits of a file it replaces. Throws
    /// IoError; the old file is then intact and the temporary removed.
    void save(const std::string& path, bool durable) const;

    /// The same bytes in memory.
    Buffer serialize() const;

    /// Size of the file save() writes.
    std::size_t bytes() const;

private:
    struct Entry {
        SectionType type;
        ElementType element;
        std::uint64_t rows;
        std::uint64_t cols;
        std::uint64_t length;
        const void* data;
    };
    std::vector<std::byte> header_and_table(std::span<const std::uint64_t> offsets) const;
    std::vector<std::uint64_t> layout() const;  // offset of every section, then the file's length

    std::vector<Entry> entries_;
};

class Mapping;

/// A validated file. Cheap to copy: copies share the bytes. All members are safe from any thread.
class Archive {
public:
    /// Opens and validates. mmap=true maps the file read-only (it must not be changed in place
    /// while mapped; replacing it by rename is fine), mmap=false reads it into memory. verify=true
    /// also checks the CRC of every section. Throws IoError (cannot be read, or is no regular file)
    /// or CorruptFile (bytes that are not a valid file, or that need a newer release).
    static Archive open(const std::string& path, bool mmap, bool verify);

    /// The same over bytes already in memory; `name` stands for the path in messages.
    static Archive from_buffer(Buffer bytes, const std::string& name, bool verify);

    /// The section, or null when the file has none of this type.
    const Section* find(SectionType type) const noexcept;
    /// The section with this element type; CorruptFile naming it when absent or of another type.
    const Section& require(SectionType type, ElementType element) const;
    /// As above, and it must be rows x cols.
    const Section& require(SectionType type, ElementType element, std::uint64_t rows,
                           std::uint64_t cols) const;

    /// A section's bytes as a read-only Buffer that keeps the file's bytes alive.
    Buffer buffer(const Section& section) const;

    /// All sections in file order, unknown types included.
    std::span<const Section> sections() const noexcept { return sections_; }
    /// What the file was opened as, for messages.
    const std::string& path() const noexcept { return path_; }
    std::uint64_t file_bytes() const noexcept { return bytes_.size(); }
    std::uint32_t format_version() const noexcept { return format_version_; }

    /// For a mapped archive: CorruptFile when the file under the mapping was changed in place.
    void check_unchanged() const;

private:
    Archive(std::string path, std::span<const std::byte> bytes, std::shared_ptr<const void> keep,
            bool verify);

    std::string path_;
    std::span<const std::byte> bytes_;
    std::shared_ptr<const void> keep_;        // owns bytes_
    std::shared_ptr<const Mapping> mapping_;  // null unless mapped
    std::vector<Section> sections_;
    std::uint32_t format_version_ = 0;
};

}  // namespace nearfield::io

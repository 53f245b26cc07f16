#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "io/archive.h"
#include "io/crc32c.h"
#include "io/format.h"
#include "io/replace_file.h"

namespace nearfield::io {
namespace {

constexpr std::array<std::byte, kPage> kZeros{};

[[noreturn]] void refuse(SectionType type, const std::string& what) {
    throw std::invalid_argument("cannot add section '" + std::string(name_of(type)) + "' (type " +
                                std::to_string(static_cast<std::uint32_t>(type)) + "): " + what);
}

}  // namespace

void ArchiveWriter::add(SectionType type, ElementType element, std::uint64_t rows,
                        std::uint64_t cols, const void* data) {
    const auto same_type = [type](const Entry& entry) { return entry.type == type; };
    if (static_cast<std::uint32_t>(type) == 0) {
        refuse(type, "0 is no section type; use a SectionType");
    }
    if (std::any_of(entries_.begin(), entries_.end(), same_type)) {
        refuse(type, "it was added before; a file holds one section of each type");
    }
    if (entries_.size() == kMaxSections) {
        refuse(type, "a file holds at most " + std::to_string(kMaxSections) + " sections");
    }
    const std::size_t element_bytes = size_of(element);
    if (element_bytes == 0) {
        refuse(type, "element type " + std::to_string(static_cast<std::uint32_t>(element)) +
                         " does not exist; use an ElementType");
    }
    const auto length = section_length(rows, cols, element_bytes);
    // Half the range, so that the sums of at most 256 placed sections are checked once, in layout.
    if (!length || *length > PTRDIFF_MAX) {
        refuse(type, std::to_string(rows) + " rows x " + std::to_string(cols) +
                         " columns do not fit into memory");
    }
    if (*length > 0 && data == nullptr) {
        refuse(type, "data is null, expected " + std::to_string(*length) + " bytes");
    }
    entries_.push_back({type, element, rows, cols, *length, data});
}

std::vector<std::uint64_t> ArchiveWriter::layout() const {
    std::vector<std::uint64_t> offsets;
    offsets.reserve(entries_.size() + 1);
    std::uint64_t end = sizeof(FileHeader) + entries_.size() * sizeof(TableEntry);
    for (const Entry& entry : entries_) {
        const auto offset = section_offset(end, entry.length);
        const auto stop = offset ? checked_add(*offset, entry.length) : std::nullopt;
        if (!stop || *stop > PTRDIFF_MAX) {
            refuse(entry.type, "the file would be larger than any file can be");
        }
        offsets.push_back(*offset);
        end = *stop;
    }
    offsets.push_back(end);
    return offsets;
}

std::size_t ArchiveWriter::bytes() const { return layout().back(); }

std::vector<std::byte> ArchiveWriter::header_and_table(
    std::span<const std::uint64_t> offsets) const {
    std::vector<TableEntry> table;
    table.reserve(entries_.size());
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        const Entry& entry = entries_[i];
        table.push_back({static_cast<std::uint32_t>(entry.type),
                         static_cast<std::uint32_t>(entry.element), offsets[i], entry.length,
                         entry.rows, entry.cols, crc32c(entry.data, entry.length), 0});
    }
    const std::size_t table_bytes = table.size() * sizeof(TableEntry);
    FileHeader header{};
    header.magic = kMagic;
    header.format_version = kFormatVersion;
    header.min_reader_version = kMinReaderVersion;
    header.file_length = offsets.back();
    header.section_count = static_cast<std::uint32_t>(table.size());
    header.table_crc = crc32c(table.data(), table_bytes);
    header.needs_release = kNeedsRelease;
    header.header_crc = crc32c(&header, offsetof(FileHeader, header_crc));
    std::vector<std::byte> bytes(sizeof header + table_bytes);
    std::memcpy(bytes.data(), &header, sizeof header);
    if (table_bytes > 0) {
        std::memcpy(bytes.data() + sizeof header, table.data(), table_bytes);
    }
    return bytes;
}

void ArchiveWriter::save(const std::string& path, bool durable) const {
    const std::vector<std::uint64_t> offsets = layout();
    const std::vector<std::byte> head = header_and_table(offsets);
    std::vector<std::span<const std::byte>> pieces{head};
    std::uint64_t end = head.size();
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        pieces.emplace_back(kZeros.data(), offsets[i] - end);
        pieces.emplace_back(static_cast<const std::byte*>(entries_[i].data), entries_[i].length);
        end = offsets[i] + entries_[i].length;
    }
    replace_file(path, pieces, durable);
}

Buffer ArchiveWriter::serialize() const {
    const std::vector<std::uint64_t> offsets = layout();
    const std::vector<std::byte> head = header_and_table(offsets);
    Buffer file(offsets.back());  // zero, so the padding is written
    std::memcpy(file.data(), head.data(), head.size());
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        if (entries_[i].length > 0) {
            std::memcpy(file.data() + offsets[i], entries_[i].data, entries_[i].length);
        }
    }
    return file;
}

}  // namespace nearfield::io

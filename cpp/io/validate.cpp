#include "io/validate.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "io/crc32c.h"

namespace nearfield::io {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
    throw CorruptFile("'" + path + "' is not a valid nearfield file: " + what);
}

std::string release_name(std::uint32_t release) {
    return std::to_string(release >> 16) + "." + std::to_string(release >> 8 & 0xff) + "." +
           std::to_string(release & 0xff);
}

std::string hex(std::uint64_t value) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    do {
        text.insert(text.begin(), kDigits[value & 0xf]);
        value >>= 4;
    } while (value != 0);
    return "0x" + text;
}

void check_magic(const FileHeader& header, const std::string& path) {
    if (header.magic == kMagic) {
        return;
    }
    // Text-mode transfer turns CR LF into LF (or LF into CR LF) and leaves the letters as they are.
    if (std::equal(kMagic.begin() + 1, kMagic.begin() + 4, header.magic.begin() + 1)) {
        refuse(path,
               "the first 8 bytes are damaged, as by a transfer in text mode; copy the file "
               "again in binary mode");
    }
    refuse(path, "its first 8 bytes are those of another kind of file");
}

void check_versions(const FileHeader& header, const std::string& path) {
    if (header.min_reader_version > kFormatVersion) {
        throw CorruptFile("'" + path + "' has format version " +
                          std::to_string(header.format_version) + ", this release reads up to " +
                          std::to_string(kFormatVersion) + ": it needs nearfield >= " +
                          release_name(header.needs_release) + "; upgrade nearfield");
    }
    if (header.min_reader_version == 0 || header.min_reader_version > header.format_version) {
        refuse(path, "format version " + std::to_string(header.format_version) +
                         " with minimum reader version " +
                         std::to_string(header.min_reader_version) + " makes no sense (offset 8)");
    }
    const std::uint64_t unknown = header.must_understand & ~kKnownFeatures;
    if (unknown != 0) {
        throw CorruptFile("'" + path + "' uses features (bits " + hex(unknown) +
                          ") that this release does not know: it needs nearfield >= " +
                          release_name(header.needs_release) + "; upgrade nearfield");
    }
}

struct Place {
    std::string path;
    std::size_t index;
    std::uint32_t type;

    [[noreturn]] void refuse(const std::string& what) const {
        io::refuse(path, "section " + std::to_string(index) + " (" +
                             std::string(name_of(SectionType{type})) + ", type " +
                             std::to_string(type) + "): " + what);
    }
};

// Sizes and placement of one section; `end` is where the bytes before it end.
void check_entry(const TableEntry& entry, std::uint64_t end, std::uint64_t file_size,
                 const Place& place) {
    const std::size_t element_bytes = size_of(ElementType{entry.element});
    if (entry.type == 0) {
        place.refuse("type 0 is no section type");
    }
    if (element_bytes == 0) {
        place.refuse("unknown element type " + std::to_string(entry.element));
    }
    if (entry.flags != 0) {
        place.refuse("unknown flags " + hex(entry.flags));
    }
    const auto length = section_length(entry.rows, entry.cols, element_bytes);
    if (!length || *length != entry.length) {
        place.refuse("length " + std::to_string(entry.length) + " is not " +
                     std::to_string(entry.rows) + " rows x " + std::to_string(entry.cols) +
                     " columns x " + std::to_string(element_bytes) + " bytes");
    }
    const auto offset = section_offset(end, entry.length);
    if (!offset || *offset != entry.offset) {
        place.refuse("begins at offset " + std::to_string(entry.offset) + ", expected " +
                     (offset ? std::to_string(*offset) : "an offset inside the file"));
    }
    const auto stop = checked_add(entry.offset, entry.length);
    if (!stop || *stop > file_size) {
        place.refuse(std::to_string(entry.length) + " bytes at offset " +
                     std::to_string(entry.offset) + " pass the end of the file at " +
                     std::to_string(file_size));
    }
}

void check_padding(std::span<const std::byte> padding, std::uint64_t offset, const Place& place) {
    const auto bad = std::find_if(padding.begin(), padding.end(),
                                  [](std::byte byte) { return byte != std::byte{0}; });
    if (bad != padding.end()) {
        const auto at = offset + static_cast<std::uint64_t>(bad - padding.begin());
        place.refuse("the padding before it is not zero at offset " + std::to_string(at));
    }
}

void check_distinct(std::span<const Section> sections, const std::string& path) {
    std::vector<std::uint32_t> types;
    types.reserve(sections.size());
    for (const Section& section : sections) {
        types.push_back(static_cast<std::uint32_t>(section.type));
    }
    std::sort(types.begin(), types.end());
    const auto twice = std::adjacent_find(types.begin(), types.end());
    if (twice != types.end()) {
        refuse(path, "section type " + std::to_string(*twice) + " occurs twice");
    }
}

void check_contents(std::span<const Section> sections, const std::string& path) {
    for (std::size_t i = 0; i < sections.size(); ++i) {
        const Section& section = sections[i];
        const std::uint32_t crc = crc32c(section.data.data(), section.data.size());
        if (crc != section.crc) {
            Place{path, i, static_cast<std::uint32_t>(section.type)}.refuse(
                "checksum " + hex(crc) + ", expected " + hex(section.crc) + " for " +
                std::to_string(section.data.size()) + " bytes at offset " +
                std::to_string(section.offset) + "; the bytes were damaged, restore a copy");
        }
    }
}

std::span<const std::byte> table_of(std::span<const std::byte> file, const FileHeader& header,
                                    const std::string& path) {
    // section_count <= 256 is known here, so the product is small.
    const std::size_t bytes = header.section_count * sizeof(TableEntry);
    if (bytes > file.size() - sizeof(FileHeader)) {
        refuse(path, "a table of " + std::to_string(header.section_count) +
                         " sections does not fit into " + std::to_string(file.size()) + " bytes");
    }
    const auto table = file.subspan(sizeof(FileHeader), bytes);
    if (crc32c(table.data(), table.size()) != header.table_crc) {
        refuse(path, "the checksum of the table of contents (offset 64) is wrong");
    }
    return table;
}

}  // namespace

FileHeader validate_header(std::span<const std::byte> head, std::uint64_t file_size,
                           const std::string& path) {
    if (file_size < sizeof(FileHeader) || head.size() < sizeof(FileHeader)) {
        refuse(path, "it has " + std::to_string(file_size) + " bytes, the header alone takes " +
                         std::to_string(sizeof(FileHeader)));
    }
    FileHeader header;
    std::memcpy(&header, head.data(), sizeof header);
    check_magic(header, path);
    if (crc32c(head.data(), offsetof(FileHeader, header_crc)) != header.header_crc) {
        refuse(path, "the checksum of the header (offset 60) is wrong");
    }
    check_versions(header, path);
    if (header.reserved != decltype(header.reserved){}) {
        refuse(path, "reserved header bytes (offset 52) are not zero");
    }
    if (header.file_length != file_size) {
        refuse(path, "it has " + std::to_string(file_size) + " bytes, the header says " +
                         std::to_string(header.file_length) + "; the file was cut or extended");
    }
    if (header.section_count > kMaxSections) {
        refuse(path, std::to_string(header.section_count) + " sections, at most " +
                         std::to_string(kMaxSections) + " are allowed");
    }
    return header;
}

std::vector<Section> validate(std::span<const std::byte> file, const std::string& path,
                              bool verify) {
    const FileHeader header =
        validate_header(file.first(std::min(file.size(), sizeof(FileHeader))), file.size(), path);
    const std::span<const std::byte> table = table_of(file, header, path);
    std::vector<Section> sections;
    sections.reserve(header.section_count);
    std::uint64_t end = sizeof(FileHeader) + table.size();
    for (std::size_t i = 0; i < header.section_count; ++i) {
        TableEntry entry;
        std::memcpy(&entry, table.data() + i * sizeof entry, sizeof entry);
        const Place place{path, i, entry.type};
        check_entry(entry, end, file.size(), place);
        check_padding(file.subspan(end, entry.offset - end), end, place);
        sections.push_back({SectionType{entry.type}, ElementType{entry.element}, entry.rows,
                            entry.cols, entry.offset, entry.crc,
                            file.subspan(entry.offset, entry.length)});
        end = entry.offset + entry.length;
    }
    if (end != file.size()) {
        refuse(path, "the last section ends at " + std::to_string(end) + ", the file at " +
                         std::to_string(file.size()));
    }
    check_distinct(sections, path);
    if (verify) {
        check_contents(sections, path);
    }
    return sections;
}

}  // namespace nearfield::io

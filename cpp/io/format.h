// The fixed structures of the file, as they lie on disk, and the rule that places the sections.
// docs/format.md describes the same bytes in words; change both together.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace nearfield::io {

// Files are little-endian and are used in place; a big-endian build would need a converting reader.
static_assert(std::endian::native == std::endian::little,
              "the container format is read in place and needs a little-endian target");

/// 0x89 is lost by 7-bit transfers, CR LF and LF by text-mode ones, 0x1a stops a DOS `type`.
inline constexpr std::array<unsigned char, 8> kMagic = {0x89, 'N',  'F',  'X',
                                                        '\r', '\n', 0x1a, '\n'};

inline constexpr std::uint32_t kFormatVersion = 1;     // written, and the newest one read
inline constexpr std::uint32_t kMinReaderVersion = 1;  // what a file written now asks of a reader
inline constexpr std::uint32_t kNeedsRelease = 0x000100;  // first release with that reader: 0.1.0
inline constexpr std::uint64_t kKnownFeatures = 0;        // must-understand bits this reader knows

inline constexpr std::uint32_t kMaxSections = 256;
inline constexpr std::uint64_t kPage = 4096;
inline constexpr std::uint64_t kCacheLine = 64;

/// First 64 bytes; their layout is the same in every format version.
struct FileHeader {
    std::array<unsigned char, 8> magic;
    std::uint32_t format_version;
    std::uint32_t min_reader_version;
    std::uint64_t must_understand;  // feature bits: refuse the file if one is unknown
    std::uint64_t may_ignore;       // feature bits: unknown ones are harmless
    std::uint64_t file_length;
    std::uint32_t section_count;
    std::uint32_t table_crc;      // of the table of contents
    std::uint32_t needs_release;  // major << 16 | minor << 8 | patch, only for the error message
    std::array<std::uint32_t, 2> reserved;  // zero
    std::uint32_t header_crc;               // of the 60 bytes before
};
static_assert(sizeof(FileHeader) == 64 && offsetof(FileHeader, header_crc) == 60);

/// The table of contents follows the header: section_count of these.
struct TableEntry {
    std::uint32_t type;
    std::uint32_t element;
    std::uint64_t offset;
    std::uint64_t length;
    std::uint64_t rows;
    std::uint64_t cols;
    std::uint32_t crc;
    std::uint32_t flags;  // zero
};
static_assert(sizeof(TableEntry) == 48 && offsetof(TableEntry, flags) == 44);

inline std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) noexcept {
    std::uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional(sum);
}

inline std::optional<std::uint64_t> checked_multiply(std::uint64_t a, std::uint64_t b) noexcept {
    std::uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional(product);
}

/// rows * cols * element_bytes, or nothing where that passes 64 bits.
inline std::optional<std::uint64_t> section_length(std::uint64_t rows, std::uint64_t cols,
                                                   std::uint64_t element_bytes) noexcept {
    const auto elements = checked_multiply(rows, cols);
    return elements ? checked_multiply(*elements, element_bytes) : std::nullopt;
}

/// Where a section of `length` bytes begins when the bytes before it end at `end`: at the next page
/// when it fills one (so that it can be mapped alone), else at the next cache line.
inline std::optional<std::uint64_t> section_offset(std::uint64_t end,
                                                   std::uint64_t length) noexcept {
    const std::uint64_t alignment = length >= kPage ? kPage : kCacheLine;
    const auto last = checked_add(end, alignment - 1);
    return last ? std::optional(*last & ~(alignment - 1)) : std::nullopt;
}

}  // namespace nearfield::io

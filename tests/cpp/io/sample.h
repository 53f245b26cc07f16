// Sample archives for the tests of the container, and tools to damage them.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/archive.h"
#include "io/crc32c.h"
#include "io/format.h"

namespace nearfield::io {

using Bytes = std::vector<unsigned char>;

/// Contents of a sample: sections below and above a page, of several element types, one of them
/// empty, so that both alignments, padding and zero lengths occur.
struct Sample {
    std::vector<float> rows;
    std::vector<std::int64_t> labels;
    std::vector<std::uint8_t> meta;
    ArchiveWriter writer;

    explicit Sample(std::size_t count = 70, std::size_t dim = 17, unsigned seed = 1)
        : rows(count * dim), labels(count), meta(41) {
        std::uint32_t state = seed;
        const auto next = [&state] { return state = state * 1664525u + 1013904223u; };
        for (float& x : rows) {
            x = static_cast<float>(next() >> 8) * 0x1p-24f;
        }
        for (std::int64_t& label : labels) {
            label = static_cast<std::int64_t>(next());
        }
        for (std::uint8_t& byte : meta) {
            byte = static_cast<std::uint8_t>(next() >> 24);
        }
        writer.add(SectionType::kMeta, ElementType::kBytes, 1, meta.size(), meta.data());
        writer.add(SectionType::kRows, ElementType::kF32, count, dim, rows.data());
        writer.add(SectionType::kTombstones, ElementType::kU8, 0, 1, nullptr);
        writer.add(SectionType::kLabels, ElementType::kI64, count, 1, labels.data());
    }

    Bytes bytes() const {
        const Buffer buffer = writer.serialize();
        return {buffer.data(), buffer.data() + buffer.size()};
    }
};

/// Opens bytes without copying or padding, so that a sanitizer sees any read past their end.
inline Archive open_bytes(const Bytes& bytes, bool verify) {
    return Archive::from_buffer(Buffer::borrow(bytes.data(), bytes.size(), nullptr), "sample",
                                verify);
}

inline bool is_refused(const Bytes& bytes, bool verify) {
    try {
        open_bytes(bytes, verify);
    } catch (const CorruptFile&) {
        return true;
    }
    return false;
}

/// Reads every byte of every section; returns their sum so that nothing is left out.
inline std::uint64_t touch(const Archive& archive) {
    std::uint64_t sum = 0;
    for (const Section& section : archive.sections()) {
        const Buffer buffer = archive.buffer(section);
        for (std::size_t i = 0; i < buffer.size(); ++i) {
            sum += std::as_const(buffer).data()[i];
        }
    }
    return sum;
}

/// Makes the checksums of table and header right again, as a hostile author would.
inline void reseal(Bytes& bytes) {
    FileHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    const std::size_t table = std::size_t{header.section_count} * sizeof(TableEntry);
    if (sizeof header + table <= bytes.size()) {
        header.table_crc = crc32c(bytes.data() + sizeof header, table);
    }
    header.header_crc = crc32c(&header, offsetof(FileHeader, header_crc));
    std::memcpy(bytes.data(), &header, sizeof header);
}

inline Bytes read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void write_file(const std::string& path, const Bytes& bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
}

/// A new directory, removed with its contents at the end.
class ScratchDirectory {
public:
    ScratchDirectory() {
        std::string name =
            (std::filesystem::temp_directory_path() / "nearfield-io-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) {
            std::perror("mkdtemp");
            std::abort();
        }
        path_ = name;
    }
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    ~ScratchDirectory() { std::filesystem::remove_all(path_); }

    std::string operator/(const std::string& name) const { return path_ + "/" + name; }
    const std::string& path() const { return path_; }
    std::size_t entries() const {
        return static_cast<std::size_t>(
            std::distance(std::filesystem::directory_iterator(path_), {}));
    }

private:
    std::string path_;
};

}  // namespace nearfield::io

// SectionWriter and SectionReader: numbers, names and float32 arrays of a section that is one run of bytes.
//
// Little-endian, one after the other, without padding. A name is a u32 length and that many bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "index/row_file.h"
#include "io/archive.h"

namespace nearfield {

class SectionWriter {
public:
    template <class T>
    void put(T value) {
        append(&value, sizeof value);
    }
    void put_name(const std::string& name) {
        put(static_cast<std::uint32_t>(name.size()));
        append(name.data(), name.size());
    }
    void put_floats(std::span<const float> values) { append(values.data(), values.size_bytes()); }
    std::vector<std::uint8_t> take() { return std::move(bytes_); }

private:
    void append(const void* from, std::size_t n) {
        if (n == 0) return;
        const std::size_t end = bytes_.size();
        bytes_.resize(end + n);
        std::memcpy(bytes_.data() + end, from, n);
    }

    std::vector<std::uint8_t> bytes_;
};

/// From the beginning on; CorruptFile where the section does not hold what is asked for.
class SectionReader {
public:
    SectionReader(const io::Archive& archive, io::SectionType type, const char* name)
        : archive_(archive), name_(name) {
        const io::Section& section = archive.require(type, io::ElementType::kBytes);
        if (section.rows != 1) refuse(std::to_string(section.rows) + " rows, expected 1");
        bytes_ = section.data;
    }

    template <class T>
    T get() {
        T value;
        std::memcpy(&value, take(sizeof value), sizeof value);
        return value;
    }
    std::string get_name(std::size_t longest) {
        const auto n = get<std::uint32_t>();
        if (n > longest) refuse("a name of " + std::to_string(n) + " bytes");
        const auto* from = reinterpret_cast<const char*>(take(n));
        return {from, from + n};
    }
    std::vector<float> get_floats(std::uint64_t rows, std::uint64_t cols) {
        const std::uint64_t room = bytes_.size() / sizeof(float);
        if (cols != 0 && rows > room / cols) refuse("an array longer than the section");
        std::vector<float> values(rows * cols);
        const std::size_t n = values.size() * sizeof(float);
        if (n != 0) std::memcpy(values.data(), take(n), n);
        return values;
    }
    void expect_version(std::uint32_t known) {
        const auto version = get<std::uint32_t>();
        if (version == known) return;
        refuse("version " + std::to_string(version) + "; this release reads " +
               std::to_string(known) + ": upgrade nearfield");
    }
    void expect_end() const {
        if (!bytes_.empty()) refuse(std::to_string(bytes_.size()) + " bytes after its end");
    }
    [[noreturn]] void refuse(const std::string& what) const { corrupt(archive_, name_, what); }

private:
    const std::byte* take(std::size_t n) {
        if (n > bytes_.size()) refuse("the section ends too early");
        const std::byte* at = bytes_.data();
        bytes_ = bytes_.subspan(n);
        return at;
    }

    const io::Archive& archive_;
    const char* name_;
    std::span<const std::byte> bytes_;
};

}  // namespace nearfield

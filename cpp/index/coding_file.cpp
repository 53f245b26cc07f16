// Layout, little-endian: u32 version (1), u32 flags (1: rows are kept, 2: residual), u32 arrays, the
// quantizer's name; then of each array its name, u64 rows, u64 cols and the float32 values. A name is a u32
// length and that many bytes. An untrained quantizer has no arrays.
#include "index/coding_file.h"

#include <cstring>
#include <span>
#include <stdexcept>

#include "index/row_file.h"

namespace nearfield {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kKeepsRows = 1;
constexpr std::uint32_t kResidual = 2;
constexpr std::uint32_t kMostArrays = 16;
constexpr std::uint32_t kLongestName = 64;

class Writer {
public:
    template <class T>
    void put(T value) {
        append(&value, sizeof value);
    }
    void put_name(const std::string& name) {
        put(static_cast<std::uint32_t>(name.size()));
        append(name.data(), name.size());
    }
    void append(const void* from, std::size_t n) {
        if (n == 0) return;
        const std::size_t end = bytes_.size();
        bytes_.resize(end + n);
        std::memcpy(bytes_.data() + end, from, n);
    }
    std::vector<std::uint8_t> take() { return std::move(bytes_); }

private:
    std::vector<std::uint8_t> bytes_;
};

class Reader {
public:
    Reader(const io::Archive& archive, std::span<const std::byte> bytes)
        : archive_(archive), bytes_(bytes) {}

    template <class T>
    T get() {
        T value;
        std::memcpy(&value, take(sizeof value), sizeof value);
        return value;
    }
    std::string get_name() {
        const auto n = get<std::uint32_t>();
        if (n > kLongestName) refuse("a name of " + std::to_string(n) + " bytes");
        const auto* from = reinterpret_cast<const char*>(take(n));
        return {from, from + n};
    }
    std::vector<float> get_floats(std::uint64_t rows, std::uint64_t cols) {
        const std::uint64_t room = bytes_.size() / sizeof(float);
        if (cols != 0 && rows > room / cols) refuse("an array longer than the section");
        std::vector<float> values(rows * cols);
        if (!values.empty()) {
            std::memcpy(values.data(), take(values.size() * sizeof(float)),
                        values.size() * sizeof(float));
        }
        return values;
    }
    bool at_end() const noexcept { return bytes_.empty(); }
    [[noreturn]] void refuse(const std::string& what) const {
        corrupt(archive_, "quantizer", what);
    }

private:
    const std::byte* take(std::size_t n) {
        if (n > bytes_.size()) refuse("the section ends too early");
        const std::byte* at = bytes_.data();
        bytes_ = bytes_.subspan(n);
        return at;
    }

    const io::Archive& archive_;
    std::span<const std::byte> bytes_;
};

}  // namespace

std::vector<std::uint8_t> coding_bytes(const RowCoding& coding) {
    std::vector<Parameter> arrays;
    if (coding.quantizer->is_trained()) arrays = coding.quantizer->parameters();
    Writer out;
    out.put(kVersion);
    out.put((coding.keeps_rows ? kKeepsRows : 0) | (coding.residual ? kResidual : 0));
    out.put(static_cast<std::uint32_t>(arrays.size()));
    out.put_name(coding.quantizer->name());
    for (const Parameter& array : arrays) {
        out.put_name(array.name);
        out.put(static_cast<std::uint64_t>(array.rows));
        out.put(static_cast<std::uint64_t>(array.cols));
        out.append(array.values.data(), array.values.size() * sizeof(float));
    }
    return out.take();
}

std::shared_ptr<RowCoding> read_coding(const io::Archive& archive, std::size_t dim) {
    if (archive.find(io::SectionType::kQuantizer) == nullptr) return nullptr;
    const io::Section& section =
        archive.require(io::SectionType::kQuantizer, io::ElementType::kBytes);
    Reader in(archive, section.data);
    const auto version = in.get<std::uint32_t>();
    if (version != kVersion) {
        in.refuse("version " + std::to_string(version) +
                  "; this release reads 1: upgrade nearfield");
    }
    const auto flags = in.get<std::uint32_t>();
    if ((flags & ~(kKeepsRows | kResidual)) != 0) in.refuse("flags " + std::to_string(flags));
    const auto count = in.get<std::uint32_t>();
    if (count > kMostArrays) in.refuse(std::to_string(count) + " arrays");
    const std::string name = in.get_name();
    std::vector<Parameter> arrays;
    for (std::uint32_t i = 0; i < count; ++i) {
        Parameter array;
        array.name = in.get_name();
        array.rows = in.get<std::uint64_t>();
        array.cols = in.get<std::uint64_t>();
        array.values = in.get_floats(array.rows, array.cols);
        arrays.push_back(std::move(array));
    }
    if (!in.at_end()) in.refuse("bytes after its end");
    try {
        auto quantizer = make_quantizer(name, dim);
        if (!arrays.empty()) quantizer->restore(arrays);
        auto coding = std::make_shared<RowCoding>();
        coding->quantizer = std::move(quantizer);
        coding->keeps_rows = (flags & kKeepsRows) != 0;
        coding->residual = (flags & kResidual) != 0;
        return coding;
    } catch (const std::invalid_argument& error) {
        in.refuse(error.what());
    }
}

}  // namespace nearfield

// Layout: u32 version (1), u32 flags (1: rows are kept, 2: residual), u32 arrays, the
// quantizer's name; then of each array its name, u64 rows, u64 cols and the float32 values. A name is a u32
// length and that many bytes. An untrained quantizer has no arrays.
#include "index/coding_file.h"

#include <stdexcept>
#include <utility>

#include "index/section_bytes.h"

namespace nearfield {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kKeepsRows = 1;
constexpr std::uint32_t kResidual = 2;
constexpr std::uint32_t kMostArrays = 16;
constexpr std::uint32_t kLongestName = 64;

}  // namespace

std::vector<std::uint8_t> coding_bytes(const RowCoding& coding) {
    std::vector<Parameter> arrays;
    if (coding.quantizer->is_trained()) arrays = coding.quantizer->parameters();
    SectionWriter out;
    out.put(kVersion);
    out.put((coding.keeps_rows ? kKeepsRows : 0) | (coding.residual ? kResidual : 0));
    out.put(static_cast<std::uint32_t>(arrays.size()));
    out.put_name(coding.quantizer->name());
    for (const Parameter& array : arrays) {
        out.put_name(array.name);
        out.put(static_cast<std::uint64_t>(array.rows));
        out.put(static_cast<std::uint64_t>(array.cols));
        out.put_floats(array.values);
    }
    return out.take();
}

std::shared_ptr<RowCoding> read_coding(const io::Archive& archive, std::size_t dim) {
    if (archive.find(io::SectionType::kQuantizer) == nullptr) return nullptr;
    SectionReader in(archive, io::SectionType::kQuantizer, "quantizer");
    in.expect_version(kVersion);
    const auto flags = in.get<std::uint32_t>();
    if ((flags & ~(kKeepsRows | kResidual)) != 0) in.refuse("flags " + std::to_string(flags));
    const auto count = in.get<std::uint32_t>();
    if (count > kMostArrays) in.refuse(std::to_string(count) + " arrays");
    const std::string name = in.get_name(kLongestName);
    std::vector<Parameter> arrays;
    for (std::uint32_t i = 0; i < count; ++i) {
        Parameter array;
        array.name = in.get_name(kLongestName);
        array.rows = in.get<std::uint64_t>();
        array.cols = in.get<std::uint64_t>();
        array.values = in.get_floats(array.rows, array.cols);
        arrays.push_back(std::move(array));
    }
    in.expect_end();
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

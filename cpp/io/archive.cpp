#include "io/archive.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "io/mapping.h"
#include "io/validate.h"

namespace nearfield::io {
namespace {

std::string describe(SectionType type) {
    return "section '" + std::string(name_of(type)) + "' (type " +
           std::to_string(static_cast<std::uint32_t>(type)) + ")";
}

std::string shape(std::uint64_t rows, std::uint64_t cols) {
    return std::to_string(rows) + " x " + std::to_string(cols);
}

std::span<const std::byte> bytes_of(const Buffer& buffer) {
    return {reinterpret_cast<const std::byte*>(buffer.data()), buffer.size()};
}

// Reads a whole file, having looked at its header first: a file of another kind costs no memory.
Buffer read_validated(const File& file, const std::string& path) {
    const auto size = static_cast<std::uint64_t>(file.status(path).st_size);
    std::byte head[sizeof(FileHeader)];
    const std::size_t head_size = std::min<std::uint64_t>(size, sizeof head);
    file.read_exactly({head, head_size}, path);
    validate_header({head, head_size}, size, path);
    Buffer buffer(size);
    const std::span<std::byte> out(buffer.as<std::byte>(), buffer.size());
    std::copy(head, head + head_size, out.begin());
    file.read_exactly(out.subspan(head_size), path);
    return buffer;
}

}  // namespace

std::size_t size_of(ElementType element) noexcept {
    switch (element) {
        case ElementType::kBytes:
        case ElementType::kI8:
        case ElementType::kU8: return 1;
        case ElementType::kF16:
        case ElementType::kBF16: return 2;
        case ElementType::kF32:
        case ElementType::kU32: return 4;
        case ElementType::kI64:
        case ElementType::kU64:
        case ElementType::kF64: return 8;
    }
    return 0;
}

std::string_view name_of(SectionType type) noexcept {
    switch (type) {
        case SectionType::kMeta: return "meta";
        case SectionType::kRows: return "rows";
        case SectionType::kCodes: return "codes";
        case SectionType::kRowScale: return "row_scale";
        case SectionType::kRowNorm: return "row_norm";
        case SectionType::kLabels: return "labels";
        case SectionType::kTombstones: return "tombstones";
        case SectionType::kListSizes: return "list_sizes";
        case SectionType::kCentroids: return "centroids";
        case SectionType::kArrival: return "arrival";
        case SectionType::kSeed: return "seed";
        case SectionType::kQuantizer: return "quantizer";
        case SectionType::kGroupSizes: return "group_sizes";
        case SectionType::kGraph: return "graph";
        case SectionType::kGraphCentre: return "graph_centre";
        case SectionType::kGraphNodes: return "graph_nodes";
        case SectionType::kGraphLinks: return "graph_links";
        case SectionType::kGraphLevels: return "graph_levels";
        case SectionType::kCorpusAdapters: return "corpus_adapters";
        case SectionType::kTuning: return "tuning";
        case SectionType::kUserMetadata: return "user_metadata";
    }
    return "unknown";
}

std::string_view name_of(ElementType element) noexcept {
    switch (element) {
        case ElementType::kBytes: return "bytes";
        case ElementType::kF32: return "f32";
        case ElementType::kF16: return "f16";
        case ElementType::kBF16: return "bf16";
        case ElementType::kI8: return "i8";
        case ElementType::kU8: return "u8";
        case ElementType::kU32: return "u32";
        case ElementType::kI64: return "i64";
        case ElementType::kU64: return "u64";
        case ElementType::kF64: return "f64";
    }
    return "unknown";
}

Archive Archive::open(const std::string& path, bool mmap, bool verify) {
    File file = File::open_regular(path);
    if (!mmap) {
        return from_buffer(read_validated(file, path), path, verify);
    }
    auto mapping = std::make_shared<const Mapping>(std::move(file), path);
    Archive archive(path, mapping->bytes(), mapping, verify);
    archive.mapping_ = std::move(mapping);
    return archive;
}

Archive Archive::from_buffer(Buffer bytes, const std::string& name, bool verify) {
    auto owner = std::make_shared<const Buffer>(std::move(bytes));
    return Archive(name, bytes_of(*owner), owner, verify);
}

Archive::Archive(std::string path, std::span<const std::byte> bytes,
                 std::shared_ptr<const void> keep, bool verify)
    : path_(std::move(path)),
      bytes_(bytes),
      keep_(std::move(keep)),
      sections_(validate(bytes_, path_, verify)),
      format_version_(validate_header(bytes_, bytes_.size(), path_).format_version) {}

const Section* Archive::find(SectionType type) const noexcept {
    const auto found = std::find_if(sections_.begin(), sections_.end(),
                                    [type](const Section& s) { return s.type == type; });
    return found == sections_.end() ? nullptr : &*found;
}

const Section& Archive::require(SectionType type, ElementType element) const {
    const Section* section = find(type);
    if (section == nullptr) {
        throw CorruptFile("'" + path_ + "' has no " + describe(type) +
                          ": it was not written as the kind of index it is opened as");
    }
    if (section->element != element) {
        throw CorruptFile("'" + path_ + "': " + describe(type) + " at offset " +
                          std::to_string(section->offset) + " has elements " +
                          std::string(name_of(section->element)) + ", expected " +
                          std::string(name_of(element)));
    }
    return *section;
}

const Section& Archive::require(SectionType type, ElementType element, std::uint64_t rows,
                                std::uint64_t cols) const {
    const Section& section = require(type, element);
    if (section.rows != rows || section.cols != cols) {
        throw CorruptFile("'" + path_ + "': " + describe(type) + " at offset " +
                          std::to_string(section.offset) + " is " +
                          shape(section.rows, section.cols) + ", expected " + shape(rows, cols));
    }
    return section;
}

Buffer Archive::buffer(const Section& section) const {
    return Buffer::borrow(section.data.data(), section.data.size(), keep_);
}

void Archive::check_unchanged() const {
    if (mapping_ != nullptr && !mapping_->unchanged()) {
        throw CorruptFile("'" + path_ +
                          "' was changed in place while it was mapped; load it again "
                          "(and replace files by rename, as save does, or load with mmap=False)");
    }
}

}  // namespace nearfield::io

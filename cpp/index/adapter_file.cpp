#include "index/adapter_file.h"

#include <cstring>
#include <stdexcept>

#include "index/row_adapter.h"

namespace nearfield {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kLowRank = 0;
constexpr std::uint32_t kMatrix = 1;

void put(std::vector<std::uint8_t>& out, const void* data, std::size_t n) {
    const std::size_t before = out.size();
    out.resize(before + n);
    std::memcpy(out.data() + before, data, n);
}

void put(std::vector<std::uint8_t>& out, std::uint32_t value) { put(out, &value, sizeof value); }

void put(std::vector<std::uint8_t>& out, const std::vector<float>& values) {
    if (!values.empty()) put(out, values.data(), values.size() * sizeof(float));
}

/// Takes a section apart from its beginning.
class Reader {
public:
    explicit Reader(const io::Section& section)
        : at_(reinterpret_cast<const std::uint8_t*>(section.data.data())),
          left_(section.data.size()) {}

    const std::uint8_t* take(std::uint64_t n) {
        if (n > left_) throw std::invalid_argument("it ends within an adapter");
        const std::uint8_t* at = at_;
        at_ += n;
        left_ -= static_cast<std::size_t>(n);
        return at;
    }
    std::uint32_t number() {
        std::uint32_t value = 0;
        std::memcpy(&value, take(sizeof value), sizeof value);
        return value;
    }
    std::vector<float> floats(std::uint64_t n) {
        const std::uint8_t* from = take(n * sizeof(float));
        std::vector<float> out(static_cast<std::size_t>(n));
        std::memcpy(out.data(), from, out.size() * sizeof(float));
        return out;
    }
    std::size_t left() const noexcept { return left_; }

private:
    const std::uint8_t* at_;
    std::size_t left_;
};

/// Text as UTF-8 writes it, without NUL.
bool is_text(const std::string& name) {
    for (std::size_t i = 0; i < name.size();) {
        const auto lead = static_cast<unsigned char>(name[i]);
        const std::size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        if (lead == 0 || (lead >= 0x80 && lead < 0xc2) || lead > 0xf4) return false;
        if (i + more >= name.size()) return false;
        std::uint32_t code = more == 0 ? lead : lead & (0x3fU >> more);
        for (std::size_t k = 1; k <= more; ++k) {
            const auto next = static_cast<unsigned char>(name[i + k]);
            if ((next & 0xc0U) != 0x80U) return false;
            code = (code << 6) | (next & 0x3fU);
        }
        const bool is_long = more < 2 || code >= (more == 2 ? 0x800U : 0x10000U);
        if (!is_long || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
        i += more + 1;
    }
    return true;
}

CorpusMap read_map(Reader& reader, std::size_t dim) {
    const std::uint32_t form = reader.number();
    const std::uint32_t rank = reader.number();
    if (form == kMatrix && rank == dim) {
        const std::vector<float> w = reader.floats(std::uint64_t{dim} * dim);
        return CorpusMap::matrix({w.data(), dim, dim});
    }
    if (form != kLowRank || rank == 0 || rank > dim) {
        throw std::invalid_argument("a map of form " + std::to_string(form) + " and rank " +
                                    std::to_string(rank) + " for dim " + std::to_string(dim));
    }
    const std::vector<float> u = reader.floats(std::uint64_t{dim} * rank);
    const std::vector<float> v = reader.floats(std::uint64_t{dim} * rank);
    return CorpusMap::low_rank({u.data(), dim, rank}, {v.data(), dim, rank});
}

}  // namespace

std::vector<std::uint8_t> adapter_bytes(std::span<const NamedAdapter> adapters) {
    std::vector<std::uint8_t> out;
    if (adapters.empty()) return out;
    put(out, kVersion);
    put(out, static_cast<std::uint32_t>(adapters.size()));
    for (const NamedAdapter& adapter : adapters) {
        const CorpusMap& map = *adapter.rows->map;
        put(out, static_cast<std::uint32_t>(adapter.name.size()));
        put(out, adapter.name.data(), adapter.name.size());
        put(out, map.is_matrix() ? kMatrix : kLowRank);
        put(out, static_cast<std::uint32_t>(map.rank()));
        put(out, map.u());
        put(out, map.v());
    }
    return out;
}

std::vector<NamedMap> read_adapters(const io::Archive& archive, std::size_t dim) {
    const io::Section& section =
        archive.require(io::SectionType::kCorpusAdapters, io::ElementType::kBytes);
    Reader reader(section);
    const std::uint32_t version = reader.number();
    if (version != kVersion) {
        throw std::invalid_argument("version " + std::to_string(version) +
                                    "; this release reads 1: upgrade nearfield");
    }
    const std::uint32_t count = reader.number();
    std::vector<NamedMap> out;
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t size = reader.number();
        const auto* text = reinterpret_cast<const char*>(reader.take(size));
        std::string name(text, size);
        if (!is_text(name)) throw std::invalid_argument("a name that is no UTF-8 text");
        out.emplace_back(std::move(name), std::make_shared<const CorpusMap>(read_map(reader, dim)));
    }
    if (reader.left() != 0) {
        throw std::invalid_argument(std::to_string(reader.left()) +
                                    " bytes follow the last adapter");
    }
    return out;
}

}  // namespace nearfield

#include "index/adapter_file.h"

#include "index/row_adapter.h"
#include "index/section_bytes.h"

namespace nearfield {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kLowRank = 0;
constexpr std::uint32_t kMatrix = 1;

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

CorpusMap read_map(SectionReader& in, std::size_t dim) {
    const auto form = in.get<std::uint32_t>();
    const auto rank = in.get<std::uint32_t>();
    if (form == kMatrix && rank == dim) {
        const std::vector<float> w = in.get_floats(dim, dim);
        return CorpusMap::matrix({w.data(), dim, dim});
    }
    if (form != kLowRank || rank == 0 || rank > dim) {
        in.refuse("a map of form " + std::to_string(form) + " and rank " + std::to_string(rank) +
                  " for dim " + std::to_string(dim));
    }
    const std::vector<float> u = in.get_floats(dim, rank);
    const std::vector<float> v = in.get_floats(dim, rank);
    return CorpusMap::low_rank({u.data(), dim, rank}, {v.data(), dim, rank});
}

}  // namespace

std::vector<std::uint8_t> adapter_bytes(std::span<const NamedAdapter> adapters) {
    if (adapters.empty()) return {};
    SectionWriter out;
    out.put(kVersion);
    out.put(static_cast<std::uint32_t>(adapters.size()));
    for (const NamedAdapter& adapter : adapters) {
        const CorpusMap& map = *adapter.rows->map;
        out.put_name(adapter.name);
        out.put(map.is_matrix() ? kMatrix : kLowRank);
        out.put(static_cast<std::uint32_t>(map.rank()));
        out.put_floats(map.u());
        out.put_floats(map.v());
    }
    return out.take();
}

std::vector<NamedMap> read_adapters(const io::Archive& archive, std::size_t dim) {
    SectionReader in(archive, io::SectionType::kCorpusAdapters, "corpus_adapters");
    in.expect_version(kVersion);
    const auto count = in.get<std::uint32_t>();
    std::vector<NamedMap> out;
    for (std::uint32_t i = 0; i < count; ++i) {
        std::string name = in.get_name(kLongestAdapterName);
        if (!is_text(name)) in.refuse("a name that is no UTF-8 text");
        out.emplace_back(std::move(name), std::make_shared<const CorpusMap>(read_map(in, dim)));
    }
    in.expect_end();
    return out;
}

}  // namespace nearfield

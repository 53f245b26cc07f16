// Index, where rows are searched as linear maps have them: adapters by name, and mixtures of them.
//
// A snapshot carries its adapters: RowStore describes rows that come or move to each of them. A mixture is described
// when a search first asks for it, and forgotten with the next snapshot or for newer ones: one pass over the rows is
// cheaper than the (A + 1) (A + 2) / 2 coefficients a row that all mixtures of A adapters take.
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "index/adapter_file.h"
#include "index/index.h"
#include "index/row_file.h"

namespace nearfield {
namespace {

const NamedAdapter* find(const RowStore& store, const std::string& name) {
    for (const NamedAdapter& adapter : store.adapters) {
        if (adapter.name == name) return &adapter;
    }
    return nullptr;
}

std::string listed(const RowStore& store) {
    std::string names;
    for (const NamedAdapter& adapter : store.adapters) {
        names += (names.empty() ? "" : ", ") + ("\"" + adapter.name + "\"");
    }
    return names.empty() ? "none" : names;
}

const NamedAdapter& require(const RowStore& store, const std::string& name) {
    if (const NamedAdapter* adapter = find(store, name)) return *adapter;
    throw std::invalid_argument("corpus_adapter: got \"" + name +
                                "\", which the index does not have; it has " + listed(store));
}

/// What a search asks for, without what changes nothing.
struct Parts {
    std::shared_ptr<const RowAdapter> first;
    std::vector<std::shared_ptr<const CorpusMap>> maps;
    std::vector<double> weights;

    bool is_one() const noexcept { return maps.size() == 1 && weights[0] == 1.0; }
    std::shared_ptr<const CorpusMap> mixed() const {
        std::vector<const CorpusMap*> all;
        for (const auto& map : maps) all.push_back(map.get());
        return std::make_shared<const CorpusMap>(CorpusMap::mixture(all, weights));
    }
};

Parts parts_of(const RowStore& store, std::span<const AdapterShare> shares) {
    Parts out;
    for (const AdapterShare& share : shares) {
        const NamedAdapter& named = require(store, share.name);
        if (!std::isfinite(share.weight)) {
            throw std::invalid_argument("corpus_adapter: the weight of \"" + share.name +
                                        "\" is NaN or infinite; expected a finite number");
        }
        if (share.weight == 0.0 || named.rows->map->is_identity()) continue;
        if (out.maps.empty()) out.first = named.rows;
        out.maps.push_back(named.rows->map);
        out.weights.push_back(share.weight);
    }
    return out;
}

}  // namespace

std::shared_ptr<const RowAdapter> Index::adapted(const RowStore& store,
                                                 std::shared_ptr<const CorpusMap> map,
                                                 int threads) const {
    auto rows = std::make_shared<RowAdapter>();
    rows->map = std::move(map);
    rows->extend(store, threads);
    adapt_more(*rows, store, threads);
    return rows;
}

void Index::add_corpus_adapter(const std::string& name, std::shared_ptr<const CorpusMap> map,
                               int threads) {
    if (name.empty() || name.size() > kLongestAdapterName) {
        throw std::invalid_argument("name: got " + std::to_string(name.size()) +
                                    " bytes, expected 1 to " + std::to_string(kLongestAdapterName));
    }
    const auto lock = write_lock();
    const auto store = snapshot();
    if (map->dim() != store->spec.dim) {
        throw std::invalid_argument("corpus adapter: got a map of dim " +
                                    std::to_string(map->dim()) + ", expected " +
                                    std::to_string(store->spec.dim));
    }
    if (find(*store, name) != nullptr) {
        throw std::invalid_argument("name: the index has a corpus adapter \"" + name +
                                    "\" already; remove it first or choose another name");
    }
    RowStore next = *store;
    next.adapters.push_back({name, adapted(*store, std::move(map), threads)});
    publish(std::move(next));
}

void Index::remove_corpus_adapter(const std::string& name) {
    const auto lock = write_lock();
    RowStore next = *snapshot();
    const NamedAdapter& gone = require(next, name);
    next.adapters.erase(next.adapters.begin() + (&gone - next.adapters.data()));
    publish(std::move(next));
}

void Index::restore_adapters(const io::Archive& archive) {
    if (archive.find(io::SectionType::kCorpusAdapters) == nullptr) return;
    try {
        for (auto& [name, map] : read_adapters(archive, snapshot()->spec.dim)) {
            add_corpus_adapter(name, std::move(map), 0);
        }
    } catch (const std::invalid_argument& error) {
        corrupt(archive, "corpus_adapters", error.what());
    }
}

std::vector<NamedAdapter> Index::corpus_adapters() const { return snapshot()->adapters; }

std::shared_ptr<const CorpusMap> Index::map_of(const RowStore& store,
                                               std::span<const AdapterShare> shares) {
    const Parts parts = parts_of(store, shares);
    if (parts.maps.empty()) return nullptr;
    return parts.is_one() ? parts.maps[0] : parts.mixed();
}

std::shared_ptr<const RowAdapter> Index::adapter_of(const std::shared_ptr<const RowStore>& store,
                                                    std::span<const AdapterShare> shares,
                                                    int threads) const {
    Parts parts = parts_of(*store, shares);
    if (parts.maps.empty()) return nullptr;
    if (parts.is_one()) return parts.first;
    {
        const std::lock_guard lock(mixtures_mutex_);
        for (const Mixture& known : mixtures_) {
            if (known.maps == parts.maps && known.weights == parts.weights &&
                known.store.lock() == store) {
                return known.rows;
            }
        }
    }
    auto mixed = parts.mixed();
    if (mixed->is_identity()) return nullptr;
    auto rows = adapted(*store, std::move(mixed), threads);
    const std::lock_guard lock(mixtures_mutex_);
    std::erase_if(mixtures_, [](const Mixture& known) { return known.store.expired(); });
    if (mixtures_.size() >= kMostMixtures) mixtures_.erase(mixtures_.begin());
    mixtures_.push_back({std::move(parts.maps), std::move(parts.weights), store, rows});
    return rows;
}

std::shared_ptr<const RowAdapter> Index::adapted_rows(std::span<const AdapterShare> shares,
                                                      int threads) const {
    return adapter_of(snapshot(), shares, threads);
}

std::vector<double> Index::lengths(const RowAdapter& rows) const {
    const auto store = snapshot();
    std::vector<double> out;
    if (store->spec.metric == Metric::kIp) return out;
    if (rows.count != store->count || rows.norms.bytes() == 0) {
        throw std::invalid_argument("lengths: the rows changed, or are kept as codes");
    }
    for (const Id row : store->live_rows()) out.push_back(rows.norms.as<double>()[row]);
    return out;
}

}  // namespace nearfield

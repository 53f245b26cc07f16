#include "index/hnsw/graph_table.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace nearfield {
namespace {

/// Live rows by ascending label, then dead ones.
void number_rows(const RowStore& store, GraphTable& out) {
    const std::vector<Id> live = store.live_rows();
    out.places.resize(live.size());
    std::iota(out.places.begin(), out.places.end(), Id{0});
    std::sort(out.places.begin(), out.places.end(),
              [&](Id a, Id b) { return store.label(live[a]) < store.label(live[b]); });
    for (const Id place : out.places) {
        out.rows.push_back(live[place]);
        out.labels.push_back(store.label(live[place]));
    }
    for (std::size_t row = 0; row < store.count; ++row) {
        if (!store.is_live(static_cast<Id>(row))) out.rows.push_back(static_cast<Id>(row));
    }
}

/// The links of one level appended, each as `name` has it.
template <class Name>
void append_links(const Level& level, std::size_t node, std::size_t width, Name&& name,
                  std::vector<Id>& scratch, Id* out) {
    std::fill_n(out, width, kNoNode);
    if (level.links.width() == 0) return;
    scratch.resize(level.links.width());
    const std::size_t n = level.links.read(node, scratch.data());
    for (std::size_t i = 0; i < n; ++i) out[i] = name(scratch[i]);
}

}  // namespace

GraphTable table_of(const RowStore& store) {
    GraphTable out;
    number_rows(store, out);
    if (store.graph == nullptr) return out;
    const Graph& graph = *store.graph;
    const std::size_t n = graph.count();
    std::vector<Id> number(store.count);
    for (std::size_t i = 0; i < n; ++i) number[out.rows[i]] = static_cast<Id>(i);
    const auto row_number = [&](Id node) { return number[graph.row(node)]; };
    std::vector<Id> scratch;

    const Level& lowest = graph.levels[0];
    out.degree = std::max<std::size_t>(lowest.links.width(), 1);
    out.links.resize(n * out.degree);
    for (std::size_t node = 0; node < n; ++node) {
        append_links(lowest, node, out.degree, row_number, scratch,
                     out.links.data() + row_number(static_cast<Id>(node)) * out.degree);
    }
    out.width = std::max<std::size_t>(graph.spec.m, 1);
    for (std::size_t l = 1; l < graph.levels.size(); ++l) {
        const Level& level = graph.levels[l];
        out.upper_links.resize((out.starts.back() + level.count()) * out.width);
        for (std::size_t node = 0; node < level.count(); ++node) {
            const Id row = row_number(level.ids()[node]);
            out.node_rows.push_back(row);
            out.below.push_back(l == 1 ? row : level.below.as<Id>()[node]);
            append_links(
                level, node, out.width, [](Id id) { return id; }, scratch,
                out.upper_links.data() + (out.starts.back() + node) * out.width);
        }
        out.starts.push_back(out.starts.back() + static_cast<Id>(level.count()));
    }
    out.unit = graph.codes.unit();
    if (store.spec.metric != Metric::kL2) out.length = graph.codes.length();
    return out;
}

void copy_stored_rows(const RowsView& rows, std::span<const Id> which, std::uint8_t* out) {
    const std::size_t bytes = rows.cols * size_of(rows.dtype);
    for (const Id row : which) {
        std::memcpy(out, rows.row(row), bytes);
        if (rows.dtype == DType::kI8) {
            for (std::size_t d = 0; d < bytes; ++d) out[d] ^= 0x80U;  // stored excess 128
        }
        out += bytes;
    }
}

}  // namespace nearfield

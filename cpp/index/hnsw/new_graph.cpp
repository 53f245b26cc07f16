#include "index/hnsw/new_graph.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "quant/raw/exact.h"

namespace nearfield {
namespace {

constexpr std::size_t kSample = 4096;
/// Lengths within this share of each other count as one.
constexpr double kSameLength = 1e-2;

}  // namespace

Graph new_graph(const StoredRows& rows, std::size_t count, const GraphSpec& spec) {
    const double unit = RowReader::unit_of(rows, count);
    const RowReader reader(rows, unit);
    const std::size_t dim = reader.dim();
    const std::size_t n = std::min(count, kSample);
    std::vector<float> row(dim);
    std::vector<double> sum(dim, 0.0);
    double shortest = std::numeric_limits<double>::infinity();
    double longest = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        reader.read(static_cast<Id>(i * count / n), row.data());
        for (std::size_t d = 0; d < dim; ++d) sum[d] += static_cast<double>(row[d]);
        const double norm = norm_of(row.data(), dim);
        shortest = std::min(shortest, norm);
        longest = std::max(longest, norm);
    }
    std::vector<float> centre(dim);
    for (std::size_t d = 0; d < dim; ++d)
        centre[d] = static_cast<float>(sum[d] / static_cast<double>(n));
    Graph graph;
    graph.spec = spec;
    graph.by_distance =
        reader.metric() != Metric::kIp || longest - shortest <= kSameLength * longest;
    graph.codes = WalkCodes(dim, reader.metric(), spec.seed, std::move(centre), unit);
    return graph;
}

void measure_length(Graph& graph, const RowReader& rows) {
    if (rows.metric() != Metric::kIp || !graph.by_distance) return;
    const Level& top = graph.levels.back();
    std::vector<float> row(rows.dim());
    double sum = 0.0;
    for (std::size_t i = 0; i < top.count(); ++i) {
        rows.read(graph.row(graph.levels.size() == 1 ? static_cast<Id>(i) : top.ids()[i]),
                  row.data());
        sum += norm_of(row.data(), row.size());
    }
    graph.codes.set_length(sum / static_cast<double>(top.count()));
}

}  // namespace nearfield

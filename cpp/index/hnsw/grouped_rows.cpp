#include "index/hnsw/grouped_rows.h"

#include <algorithm>

#include "base/parallel.h"

namespace nearfield {
namespace {

constexpr std::size_t kLargestList = 4 * kListRows;

}  // namespace

GroupedRows group_rows(const RowReader& reader, std::span<const Id> which,
                       std::span<const float> centre, bool by_distance, std::uint64_t seed,
                       int threads) {
    const std::size_t dim = reader.dim();
    GroupedRows made{
        {},
        partition(reader, which, {kListRows, kLargestList}, by_distance, seed, threads),
        ByteRows(dim, by_distance)};
    made.numbers = std::move(made.lists.order);
    made.rows.resize(which.size());
    const auto subtract = [&](float* x) {
        for (std::size_t d = 0; d < dim && by_distance; ++d) x[d] -= centre[d];
    };
    for (std::size_t j = 0; j < made.lists.lists(); ++j) {
        subtract(made.lists.centres.data() + j * dim);
    }
    std::vector<std::vector<float>> scratch(static_cast<std::size_t>(max_workers(threads)),
                                            std::vector<float>(dim));
    parallel_for(which.size(), threads, [&](std::size_t i, int worker) {
        float* const x = scratch[static_cast<std::size_t>(worker)].data();
        reader.read(which[made.numbers[i]], x);
        subtract(x);
        made.rows.set(i, x);
    });
    return made;
}

GroupedRows part_of(const GroupedRows& from, std::vector<Id> numbers, std::size_t least) {
    const std::size_t dim = from.lists.centres.size() / from.lists.lists();
    GroupedRows made{std::move(numbers), {}, ByteRows(dim, from.rows.by_distance())};
    std::vector<float> sum(dim);
    std::vector<std::size_t>& begin = made.lists.begin;
    begin.push_back(0);
    std::size_t at = 0;
    for (std::size_t list = 0; at < made.count(); ++list) {
        const std::size_t before = at;
        while (at < made.count() && made.numbers[at] < from.lists.begin[list + 1]) ++at;
        const float* const centre = from.lists.centres.data() + list * dim;
        for (std::size_t d = 0; d < dim; ++d) sum[d] += static_cast<float>(at - before) * centre[d];
        const std::size_t size = at - begin.back();
        if (size == 0 || (size < least && at < made.count())) continue;
        for (float& x : sum) x /= static_cast<float>(size);
        made.lists.centres.insert(made.lists.centres.end(), sum.begin(), sum.end());
        begin.push_back(at);
        std::fill(sum.begin(), sum.end(), 0.0f);
    }
    made.rows.resize(made.count());
    for (std::size_t i = 0; i < made.count(); ++i) made.rows.set(i, from.rows, made.numbers[i]);
    return made;
}

}  // namespace nearfield

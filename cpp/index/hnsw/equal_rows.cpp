#include "index/hnsw/equal_rows.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"

namespace nearfield {
namespace {

std::uint64_t hash_of(const ByteView& rows, std::size_t row) noexcept {
    const std::uint8_t* const codes = rows.codes + row * rows.stride;
    std::uint64_t hash = std::bit_cast<std::uint32_t>(rows.terms[row].scale);
    for (std::size_t at = 0; at < rows.stride; at += sizeof hash) {
        std::uint64_t word;
        std::memcpy(&word, codes + at, sizeof word);
        hash = std::rotl((hash ^ word) * 0x9e3779b97f4a7c15ULL, 29);
    }
    return splitmix64(hash);
}

bool equal(const ByteView& rows, std::size_t a, std::size_t b) noexcept {
    return rows.terms[a].scale == rows.terms[b].scale &&
           std::memcmp(rows.codes + a * rows.stride, rows.codes + b * rows.stride, rows.stride) ==
               0;
}

}  // namespace

std::vector<Id> originals_of(const ByteRows& rows, int threads) {
    const ByteView view = rows.view();
    std::vector<std::pair<std::uint64_t, Id>> order(rows.size());
    parallel_for(order.size(), threads,
                 [&](std::size_t i, int) { order[i] = {hash_of(view, i), static_cast<Id>(i)}; });
    std::sort(order.begin(), order.end());
    std::vector<Id> originals(rows.size());
    for (std::size_t at = 0, first = 0; at < order.size(); ++at) {
        const bool new_hash = order[at].first != order[first].first;
        if (new_hash || !equal(view, order[first].second, order[at].second)) first = at;
        originals[order[at].second] = order[first].second;
    }
    return originals;
}

void link_equal(const std::vector<Id>& originals, const std::vector<Id>& numbers,
                const Links& links, Links& out) {
    // Of each original the last copy so far, from which the ring goes on.
    std::vector<Id> next(originals.size());
    for (std::size_t i = 0; i < originals.size(); ++i) next[i] = static_cast<Id>(i);
    for (std::size_t i = originals.size(); i-- > 0;) {
        const Id first = originals[i];
        if (first != i) next[i] = std::exchange(next[first], static_cast<Id>(i));
    }
    std::vector<std::size_t> place(originals.size());
    for (std::size_t i = 0; i < numbers.size(); ++i) place[numbers[i]] = i;
    std::vector<Id> ids(links.width() + 1);
    for (std::size_t i = 0; i < originals.size(); ++i) {
        const std::size_t n = links.read(place[originals[i]], ids.data() + 1);
        for (std::size_t j = 1; j <= n; ++j) ids[j] = numbers[ids[j]];
        ids[0] = next[i];
        const bool alone = next[i] == i;
        const auto all = std::span<const Id>(ids).subspan(alone ? 1 : 0, alone ? n : n + 1);
        out.write(i, all.first(std::min(all.size(), out.width())));
    }
}

}  // namespace nearfield

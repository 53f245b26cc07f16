#include "index/hnsw/far_rows.h"

#include "base/random.h"
#include "index/hnsw/links.h"
#include "index/hnsw/nearest_rows.h"

namespace nearfield {
namespace {

/// Each sample is one of so many of the one before, while it has enough rows.
constexpr std::size_t kShare = 4;
constexpr std::size_t kFewest = 500;
constexpr NearestSpec kNearest{.wanted = 32, .probed = 24};
constexpr std::uint64_t kStream = 0x666172;  // apart from other users of the same seed

std::vector<Id> drawn(std::size_t n, Random& random) {
    std::vector<Id> some;
    for (std::size_t i = 0; i < n; ++i) {
        if (random.below(kShare) == 0) some.push_back(static_cast<Id>(i));
    }
    return some;
}

}  // namespace

FarRows::FarRows(const GroupedRows& rows, std::uint64_t seed, int threads) {
    std::vector<GroupedRows> sampled;
    const GroupedRows* last = &rows;
    Random random(seed, kStream);
    sampled.reserve(32);
    while (last->count() >= kShare * kFewest) {
        const GroupedRows& here =
            sampled.emplace_back(part_of(*last, drawn(last->count(), random), kListRows));
        Sample sample{std::vector<Id>(last->count(), kNoNode), here.numbers,
                      Neighbours(here.count(), kNearest.wanted)};
        for (std::size_t i = 0; i < here.count(); ++i) {
            sample.place[here.numbers[i]] = static_cast<Id>(i);
            if (!samples_.empty()) sample.numbers[i] = samples_.back().numbers[here.numbers[i]];
        }
        nearest_rows(
            here.rows, here.lists, kNearest, threads,
            [&](Id row, std::span<const Near> nearest, int) { sample.nearest.set(row, nearest); });
        samples_.push_back(std::move(sample));
        last = &here;
    }
}

void FarRows::append(Id row, std::vector<Near>& out) const {
    for (const Sample& sample : samples_) {
        row = sample.place[row];
        if (row == kNoNode) return;
        for (const Near& near : sample.nearest.of(row)) {
            out.push_back({near.distance, sample.numbers[near.node]});
        }
    }
}

}  // namespace nearfield

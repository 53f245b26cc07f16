#include "index/hnsw/nearest_rows.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <memory>
#include <numeric>

#include "base/parallel.h"
#include "index/hnsw/links.h"
#include "quant/raw/near_pairs.h"

namespace nearfield {
namespace {

/// Rows that are searched for together: those of whole lists that lie side by side.
constexpr std::size_t kTogether = 256;
/// Rows of a block: bounds are lowered after each.
constexpr std::size_t kBlock = 128;
/// For each list probed, so many centres near the own one are compared with.
constexpr std::size_t kCentres = 8;

/// Ascending as (distance, node) is.
std::uint64_t key_of(float distance, Id node) noexcept {
    auto bits = std::bit_cast<std::uint32_t>(distance);
    bits ^= (bits & 0x80000000u) != 0 ? 0xffffffffu : 0x80000000u;
    return std::uint64_t{bits} << 32 | node;
}

Near near_of(std::uint64_t key) noexcept {
    auto bits = static_cast<std::uint32_t>(key >> 32);
    bits ^= (bits & 0x80000000u) != 0 ? 0x80000000u : 0xffffffffu;
    return {std::bit_cast<float>(bits), static_cast<Id>(key)};
}

/// The nearest ones found of some rows.
class Found {
public:
    explicit Found(std::size_t wanted)
        : wanted_(wanted),
          room_(2 * wanted + kBlock),
          keys_(kTogether * room_),
          count_(kTogether),
          bound_(kTogether) {}

    void clear() {
        std::fill(count_.begin(), count_.end(), std::size_t{0});
        std::fill(bound_.begin(), bound_.end(), FLT_MAX);
    }

    /// What others have to be nearer than, or as near.
    float bound(std::size_t row) const noexcept { return bound_[row]; }

    void add(std::size_t row, float distance, Id node) noexcept {
        // What is too far for float32, or is not known to be near, is as far as can be.
        if (!(distance <= FLT_MAX)) distance = FLT_MAX;
        if (distance > bound_[row]) return;
        keys_[row * room_ + count_[row]++] = key_of(distance, node);
    }

    /// Makes room for a block, and lowers the bound.
    void shrink(std::size_t row) noexcept {
        if (count_[row] < 2 * wanted_) return;
        std::uint64_t* const keys = keys_.data() + row * room_;
        std::nth_element(keys, keys + wanted_ - 1, keys + count_[row]);
        count_[row] = wanted_;
        bound_[row] = near_of(keys[wanted_ - 1]).distance;
    }

    std::span<const Near> sorted(std::size_t row) {
        std::uint64_t* const keys = keys_.data() + row * room_;
        const std::size_t n = std::min(count_[row], wanted_);
        if (n < count_[row]) std::nth_element(keys, keys + n, keys + count_[row]);
        std::sort(keys, keys + n);
        sorted_.resize(n);
        std::transform(keys, keys + n, sorted_.begin(), near_of);
        return sorted_;
    }

private:
    std::size_t wanted_;
    std::size_t room_;
    std::vector<std::uint64_t> keys_;
    std::vector<std::size_t> count_;
    std::vector<float> bound_;
    std::vector<Near> sorted_;
};

/// Compares some rows with blocks of rows that follow one another.
class Meeting {
public:
    Meeting(const ByteRows& rows, std::size_t dim) : rows_(rows), pairs_(dim, rows.by_distance()) {}

    /// Rows first + slots[..] with rows [begin, end); what is near goes to these slots of `found`.
    void meet(std::size_t first, std::span<const std::uint32_t> slots, std::size_t begin,
              std::size_t end, Found& found) {
        for (std::size_t at = 0; at < slots.size(); at += NearPairs::kLanes) {
            const std::size_t lanes = std::min(NearPairs::kLanes, slots.size() - at);
            meet_panel(first, slots.subspan(at, lanes), begin, end, found);
        }
    }

private:
    void meet_panel(std::size_t first, std::span<const std::uint32_t> slots, std::size_t begin,
                    std::size_t end, Found& found) {
        Id lanes[NearPairs::kLanes];
        for (std::size_t i = 0; i < slots.size(); ++i) lanes[i] = static_cast<Id>(first + slots[i]);
        pairs_.set_lanes(rows_.view(), lanes, slots.size());
        for (std::size_t at = begin; at < end; at += kBlock) {
            pairs_.set_block(rows_.view(), at, std::min(kBlock, end - at));
            float bounds[NearPairs::kLanes];
            for (std::size_t i = 0; i < slots.size(); ++i) bounds[i] = found.bound(slots[i]);
            const std::size_t n = pairs_.find(bounds, hits_);
            std::fill_n(pending_, NearPairs::kLanes, std::size_t{0});
            for (std::size_t h = 0; h < n; ++h) {
                const std::uint32_t lane = hits_.pair[h] % NearPairs::kLanes;
                const auto node = static_cast<Id>(at + hits_.pair[h] / NearPairs::kLanes);
                ids_[lane][pending_[lane]++] = node;
            }
            for (std::size_t i = 0; i < slots.size(); ++i) {
                if (pending_[i] == 0) continue;
                rows_.distances(lanes[i], ids_[i], pending_[i], distances_);
                for (std::size_t j = 0; j < pending_[i]; ++j) {
                    if (ids_[i][j] == lanes[i]) continue;
                    found.add(slots[i], distances_[j], ids_[i][j]);
                }
                found.shrink(slots[i]);
            }
        }
    }

    const ByteRows& rows_;
    NearPairs pairs_;
    HitBuffer hits_;
    std::size_t pending_[NearPairs::kLanes];
    Id ids_[NearPairs::kLanes][kBlock];
    float distances_[kBlock];
};

/// Which lists each of some rows looks into.
class Probes {
public:
    Probes(const ByteRows& rows, const Partition& lists, std::size_t dim, const NearestSpec& spec)
        : rows_(rows),
          lists_(lists),
          spec_(spec),
          centres_(dim, rows.by_distance()),
          all_(lists.lists()) {
        centres_.resize(all_.size());
        for (std::size_t j = 0; j < all_.size(); ++j) {
            centres_.set(j, lists.centres.data() + j * dim);
            all_[j] = static_cast<Id>(j);
        }
    }

    struct Scratch {
        Scratch(const ByteRows& rows, std::size_t dim, const NearestSpec& spec)
            : near(dim, rows.by_distance()), meeting(near, dim), found(spec.probed) {}
        ByteRows near;  // some centres, then the rows
        Meeting meeting;
        Found found;
        std::vector<float> distances;
        std::vector<Near> ranked;
        std::vector<std::uint32_t> slots;
    };

    /// Calls take(slot, rank, list) for rows first + slot of the list.
    template <class F>
    void of(std::size_t list, std::size_t begin, std::size_t end, Scratch& s, F&& take) const {
        near_lists(list, s);
        const std::size_t centres = s.ranked.size();
        const std::size_t count = end - begin;
        s.near.resize(centres + count);
        for (std::size_t j = 0; j < centres; ++j) s.near.set(j, centres_, s.ranked[j].node);
        for (std::size_t i = 0; i < count; ++i) s.near.set(centres + i, rows_, begin + i);
        s.slots.resize(count);
        std::iota(s.slots.begin(), s.slots.end(), 0U);
        s.found.clear();
        s.meeting.meet(centres, s.slots, 0, centres, s.found);
        for (std::size_t i = 0; i < count; ++i) {
            std::size_t compared = 0;
            std::uint32_t rank = 0;
            for (const Near& near : s.found.sorted(i)) {
                const Id other = s.ranked[near.node].node;
                compared += lists_.size(other);
                if (rank > 0 && compared > spec_.compared) break;
                take(i, rank++, other);
            }
        }
    }

private:
    void near_lists(std::size_t list, Scratch& s) const {
        const std::size_t k = all_.size();
        const std::size_t taken = std::min(k, kCentres * spec_.probed);
        s.distances.resize(k);
        s.ranked.resize(k);
        centres_.distances(static_cast<Id>(list), all_.data(), k, s.distances.data());
        for (std::size_t j = 0; j < k; ++j) {
            s.ranked[j] = {s.distances[j] <= FLT_MAX ? s.distances[j] : FLT_MAX, all_[j]};
        }
        std::nth_element(s.ranked.begin(),
                         s.ranked.begin() + static_cast<std::ptrdiff_t>(taken - 1), s.ranked.end());
        s.ranked.resize(taken);
        std::sort(s.ranked.begin(), s.ranked.end());
    }

    const ByteRows& rows_;
    const Partition& lists_;
    const NearestSpec& spec_;
    ByteRows centres_;
    std::vector<Id> all_;
};

/// One worker: rows of some lists that follow one another, and the lists that these look into.
class Search {
public:
    Search(const ByteRows& rows, const Partition& lists, std::size_t dim, const NearestSpec& spec)
        : lists_(lists),
          probe_(rows, dim, spec),
          meeting_(rows, dim),
          found_(spec.wanted),
          at_(lists.lists(), kNoNode) {}

    /// Rows [begin, end), the first of which belongs to `list`.
    void run(const Probes& probes, std::size_t list, std::size_t begin, std::size_t end) {
        begin_ = begin;
        visited_.clear();
        visits_.clear();
        for (std::size_t at = begin; at < end; ++list) {
            const std::size_t stop = std::min(end, lists_.begin[list + 1]);
            probes.of(list, at, stop, probe_, [&](std::size_t slot, std::uint32_t rank, Id other) {
                if (at_[other] == kNoNode) {
                    at_[other] = static_cast<Id>(visited_.size());
                    visited_.push_back({rank, other, 0});
                }
                Visited& v = visited_[at_[other]];
                v.rank = std::min(v.rank, rank);
                ++v.count;
                visits_.push_back({at_[other], static_cast<std::uint32_t>(at - begin + slot)});
            });
            at = stop;
        }
        group();
        found_.clear();
        for (const Visited& v : visited_) {
            checkpoint();
            const auto slots = std::span(slots_).subspan(v.begin, v.count);
            meeting_.meet(begin, slots, lists_.begin[v.list], lists_.begin[v.list + 1], found_);
            at_[v.list] = kNoNode;
        }
    }

    std::span<const Near> nearest(std::size_t row) { return found_.sorted(row - begin_); }

private:
    struct Visited {
        std::uint32_t rank;  // the best of those who visit it
        Id list;
        std::uint32_t count;
        std::size_t begin = 0;
    };
    struct Visit {
        Id at;
        std::uint32_t slot;
    };

    /// Visits list by list, those first that are nearest to somebody.
    void group() {
        std::size_t sum = 0;
        for (Visited& v : visited_) {
            v.begin = sum;
            sum += v.count;
        }
        slots_.resize(sum);
        for (const Visit& visit : visits_) slots_[visited_[visit.at].begin++] = visit.slot;
        for (Visited& v : visited_) v.begin -= v.count;
        std::sort(visited_.begin(), visited_.end(), [](const Visited& a, const Visited& b) {
            return a.rank < b.rank || (a.rank == b.rank && a.list < b.list);
        });
    }

    const Partition& lists_;
    Probes::Scratch probe_;
    Meeting meeting_;
    Found found_;
    std::vector<Id> at_;  // of each list in visited_
    std::vector<Visited> visited_;
    std::vector<Visit> visits_;
    std::vector<std::uint32_t> slots_;
    std::size_t begin_ = 0;
};

/// Runs of rows that are searched for together.
struct RunOfRows {
    std::size_t list;
    std::size_t begin;
    std::size_t end;
};

std::vector<RunOfRows> runs_of(const Partition& lists) {
    std::vector<RunOfRows> runs;
    for (std::size_t j = 0; j < lists.lists(); ++j) {
        for (std::size_t at = lists.begin[j]; at < lists.begin[j + 1];) {
            if (runs.empty() || runs.back().end - runs.back().begin == kTogether) {
                runs.push_back({j, at, at});
            }
            RunOfRows& run = runs.back();
            run.end = std::min(lists.begin[j + 1], run.begin + kTogether);
            at = run.end;
        }
    }
    return runs;
}

}  // namespace

void nearest_rows(const ByteRows& rows, const Partition& lists, const NearestSpec& spec,
                  int threads, const TakeNearest& take) {
    const std::size_t dim = lists.centres.size() / lists.lists();
    const Probes probes(rows, lists, dim, spec);
    std::vector<std::unique_ptr<Search>> workers;
    for (int w = 0; w < max_workers(threads); ++w) {
        workers.push_back(std::make_unique<Search>(rows, lists, dim, spec));
    }
    const std::vector<RunOfRows> runs = runs_of(lists);
    parallel_for(runs.size(), threads, [&](std::size_t r, int worker) {
        Search& search = *workers[static_cast<std::size_t>(worker)];
        const RunOfRows& run = runs[r];
        search.run(probes, run.list, run.begin, run.end);
        for (std::size_t row = run.begin; row < run.end; ++row) {
            take(static_cast<Id>(row), search.nearest(row), worker);
        }
    });
}

}  // namespace nearfield

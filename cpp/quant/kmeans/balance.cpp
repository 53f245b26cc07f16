#include "quant/kmeans/balance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "quant/kmeans/clusters.h"

namespace nearfield {
namespace {

/// Small clusters are merged and large ones cut so many times, and iterations after each.
constexpr int kRegroups = 3;
constexpr int kBetween = 3;
/// Of the smallest clusters so many look for a partner among each other.
constexpr std::size_t kMostMerging = 4096;
/// Iterations in which prices move, and those after them that end with a repair.
constexpr int kPricings = 12;
constexpr int kRepairs = 2;
/// The first step of a price, as a share of the mean squared distance; how steps grow and shrink.
constexpr double kFirstStep = 0.02;
constexpr double kGrow = 1.5;
constexpr double kShrink = 0.5;
/// Prices stay below so many mean squared distances: bounds of scores grow with them.
constexpr double kHighest = 4.0;
/// Rounds in which every row knows one cluster with room; what is left then looks at all of them.
constexpr int kRounds = 12;
/// Rows copied and compared at once.
constexpr std::size_t kRowsAtOnce = std::size_t{1} << 16;
/// Scores held at once when rows look at all clusters.
constexpr std::size_t kScoresAtOnce = std::size_t{1} << 22;
constexpr std::size_t kChunk = 512;
/// Streams of the seed; lloyd.cpp and starts.cpp have others.
constexpr std::uint64_t kStream = std::uint64_t{1} << 34;

std::vector<std::size_t> sizes_of(const Id* nearest, std::size_t n, std::size_t k) {
    std::vector<std::size_t> sizes(k);
    for (std::size_t i = 0; i < n; ++i) ++sizes[nearest[i]];
    return sizes;
}

bool fits(const std::vector<std::size_t>& sizes, std::size_t most) {
    return std::all_of(sizes.begin(), sizes.end(), [=](std::size_t s) { return s <= most; });
}

/// Exact keys of some rows and the clusters they are in.
std::vector<double> own_keys(const Centroids& centroids, MatrixView<float> rows,
                             const std::vector<Id>& some, const Id* nearest, int threads) {
    std::vector<double> keys(some.size());
    parallel_for((some.size() + kChunk - 1) / kChunk, threads, [&](std::size_t chunk, int) {
        const std::size_t end = std::min(some.size(), (chunk + 1) * kChunk);
        for (std::size_t i = chunk * kChunk; i < end; ++i) {
            keys[i] = exact_key(centroids, rows.row(some[i]), nearest[some[i]]);
        }
    });
    return keys;
}

std::vector<float> gathered(MatrixView<float> rows, std::span<const Id> ids) {
    std::vector<float> out(ids.size() * rows.cols);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        std::copy_n(rows.row(ids[i]), rows.cols, out.data() + i * rows.cols);
    }
    return out;
}

/// The clusters with room, and where rows may go.
struct Room {
    std::vector<Id> clusters;
    std::vector<float> values;
    double largest = 0.0;

    Room(const Centroids& all, const std::vector<std::size_t>& sizes, std::size_t most) {
        for (std::size_t j = 0; j < sizes.size(); ++j) {
            if (sizes[j] < most) clusters.push_back(static_cast<Id>(j));
        }
        values = gathered(all.rows, clusters);
        const auto squared =
            squared_norms_of({values.data(), clusters.size(), all.rows.cols}, "centroid", 1);
        for (const double value : squared) largest = std::max(largest, std::sqrt(value));
    }
};

struct Move {
    double cost;
    Id row;
    Id to;
    bool operator<(const Move& other) const noexcept {
        return cost < other.cost || (cost == other.cost && row < other.row);
    }
};

/// For all rows of clusters that are too large, the nearest cluster with room.
std::vector<Move> moves_of(MatrixView<float> rows, const Centroids& centroids,
                           const std::vector<std::size_t>& sizes, std::size_t most,
                           const Id* nearest, int threads) {
    const Room room(centroids, sizes, most);
    const Centroids open{{room.values.data(), room.clusters.size(), rows.cols},
                         centroids.spherical};
    std::vector<Id> crowded;
    for (std::size_t i = 0; i < rows.rows; ++i) {
        if (sizes[nearest[i]] > most) crowded.push_back(static_cast<Id>(i));
    }
    const std::vector<double> own = own_keys(centroids, rows, crowded, nearest, threads);
    std::vector<Move> moves(crowded.size());
    for (std::size_t first = 0; first < crowded.size(); first += kRowsAtOnce) {
        const std::size_t n = std::min(kRowsAtOnce, crowded.size() - first);
        const std::vector<float> values = gathered(rows, {crowded.data() + first, n});
        const auto search =
            make_nearest({values.data(), n, rows.cols}, open.spherical, room.largest, threads);
        std::vector<Id> to(n);
        std::vector<double> keys(n);
        search->find(open, false, to.data(), keys.data(), threads);
        for (std::size_t i = 0; i < n; ++i) {
            moves[first + i] = {own[first + i] - keys[i], crowded[first + i], room.clusters[to[i]]};
        }
    }
    std::sort(moves.begin(), moves.end());
    return moves;
}

/// The rows that clusters have too many, the farthest of each.
std::vector<Id> surplus(MatrixView<float> rows, const Centroids& centroids,
                        const std::vector<std::size_t>& sizes, std::size_t most, const Id* nearest,
                        int threads) {
    std::vector<Id> all(rows.rows);
    std::iota(all.begin(), all.end(), Id{0});
    const std::vector<double> keys = own_keys(centroids, rows, all, nearest, threads);
    Clusters clusters = group(all, nearest, sizes.size());
    std::vector<Id> out;
    for (std::size_t j = 0; j < sizes.size(); ++j) {
        if (sizes[j] <= most) continue;
        const auto begin = clusters.rows.begin() + static_cast<std::ptrdiff_t>(clusters.begin[j]);
        const auto end = begin + static_cast<std::ptrdiff_t>(sizes[j]);
        std::stable_sort(begin, end, [&](Id a, Id b) { return keys[a] < keys[b]; });
        out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(sizes[j] - most));
    }
    return out;
}

/// Every row that is too many goes to the best of all clusters that still have room.
void place_surplus(MatrixView<float> rows, const Centroids& centroids,
                   std::vector<std::size_t>& sizes, std::size_t most, Id* nearest, int threads) {
    const std::vector<Id> left = surplus(rows, centroids, sizes, most, nearest, threads);
    for (std::size_t first = 0, n = 0; first < left.size(); first += n) {
        const std::vector<Id> open = Room(centroids, sizes, most).clusters;
        n = std::clamp<std::size_t>(kScoresAtOnce / open.size(), 1, left.size() - first);
        std::vector<double> keys(n * open.size());
        parallel_for(n, threads, [&](std::size_t i, int) {
            for (std::size_t j = 0; j < open.size(); ++j) {
                keys[i * open.size() + j] =
                    exact_key(centroids, rows.row(left[first + i]), open[j]);
            }
        });
        for (std::size_t i = 0; i < n; ++i) {
            const double* mine = keys.data() + i * open.size();
            std::size_t best = open.size();
            for (std::size_t j = 0; j < open.size(); ++j) {
                if (sizes[open[j]] < most && (best == open.size() || mine[j] > mine[best])) {
                    best = j;
                }
            }
            Id& label = nearest[left[first + i]];
            --sizes[label];
            label = open[best];
            ++sizes[label];
        }
    }
}

/// Two small clusters that become one.
struct Merge {
    double cost;
    Id kept;
    Id freed;
    bool operator<(const Merge& other) const noexcept {
        return cost < other.cost || (cost == other.cost && kept < other.kept);
    }
};

/// For every small cluster the cheapest other one it fits together with, by what the inertia grows.
std::vector<Merge> merges_of(const Centroids& centroids, const std::vector<std::size_t>& sizes,
                             std::size_t most, int threads) {
    std::vector<Id> small;
    for (std::size_t j = 0; j < sizes.size(); ++j) {
        if (sizes[j] != 0 && sizes[j] < most) small.push_back(static_cast<Id>(j));
    }
    std::stable_sort(small.begin(), small.end(), [&](Id a, Id b) { return sizes[a] < sizes[b]; });
    small.resize(std::min(small.size(), kMostMerging));
    const Centroids points{centroids.rows, false};
    std::vector<Merge> best(small.size(), {std::numeric_limits<double>::infinity(), 0, 0});
    parallel_for(small.size(), threads, [&](std::size_t i, int) {
        const Id a = small[i];
        for (const Id b : small) {
            if (a == b || sizes[a] + sizes[b] > most) continue;
            const auto both = static_cast<double>(sizes[a] + sizes[b]);
            const double weight = static_cast<double>(sizes[a] * sizes[b]) / both;
            const Merge merge{-weight * exact_key(points, centroids.rows.row(a), b), std::min(a, b),
                              std::max(a, b)};
            if (merge < best[i]) best[i] = merge;
        }
    });
    std::sort(best.begin(), best.end());
    return best;
}

/// Frees clusters by merging small ones and gives them halves of the largest, as many as these need to fit.
/// Returns whether it could. Labels are then guesses.
bool regroup(MatrixView<float> rows, const KMeansOptions& options, std::size_t most,
             std::uint64_t stream, int threads, LloydState& state) {
    const std::size_t dim = rows.cols;
    std::vector<std::size_t> sizes = sizes_of(state.nearest.data(), rows.rows, options.k);
    std::size_t needed = 0;
    for (const std::size_t size : sizes) needed += size == 0 ? 0 : (size - 1) / most;
    std::vector<Id> becomes(options.k);
    std::iota(becomes.begin(), becomes.end(), Id{0});
    std::vector<bool> used(options.k);
    std::size_t freed = 0;
    const Centroids current{{state.centroids.data(), options.k, dim}, options.spherical};
    for (const Merge& merge : merges_of(current, sizes, most, threads)) {
        if (freed == needed || !std::isfinite(merge.cost)) break;
        if (used[merge.kept] || used[merge.freed]) continue;
        used[merge.kept] = used[merge.freed] = true;
        becomes[merge.freed] = merge.kept;
        float* to = state.centroids.data() + merge.kept * dim;
        const float* from = state.centroids.data() + merge.freed * dim;
        const double share = static_cast<double>(sizes[merge.freed]) /
                             static_cast<double>(sizes[merge.kept] + sizes[merge.freed]);
        for (std::size_t d = 0; d < dim; ++d) {
            to[d] += static_cast<float>(
                share * (static_cast<double>(from[d]) - static_cast<double>(to[d])));
        }
        if (options.spherical) normalise(to, 1, dim);
        sizes[merge.kept] += sizes[merge.freed];
        sizes[merge.freed] = 0;
        ++freed;
    }
    if (freed == 0) return false;
    for (Id& label : state.nearest) label = becomes[label];
    fill_empty(source_of(rows), sizes, state.nearest.data(), options, stream,
               state.centroids.data());
    return true;
}

/// A price per cluster and the step it takes next.
class Prices {
public:
    Prices(std::size_t k, double unit)
        : values_(k), steps_(k, kFirstStep * unit), up_(k), unit_(unit) {}

    const std::vector<double>& values() const noexcept { return values_; }

    void adjust(const std::vector<std::size_t>& sizes, std::size_t most, double mean) {
        for (std::size_t j = 0; j < sizes.size(); ++j) {
            const bool crowded = sizes[j] > most;
            const bool idle = static_cast<double>(sizes[j]) < mean && values_[j] > 0.0;
            if (!crowded && !idle) continue;
            steps_[j] *= crowded == up_[j] ? kGrow : kShrink;
            up_[j] = crowded;
            values_[j] =
                std::clamp(values_[j] + (crowded ? steps_[j] : -steps_[j]), 0.0, kHighest * unit_);
        }
    }

    /// Empty clusters are about to take half of another.
    void forget_empty(const std::vector<std::size_t>& sizes) {
        for (std::size_t j = 0; j < sizes.size(); ++j) {
            if (sizes[j] != 0) continue;
            values_[j] = 0.0;
            steps_[j] = kFirstStep * unit_;
        }
    }

private:
    std::vector<double> values_;
    std::vector<double> steps_;
    std::vector<bool> up_;
    double unit_;
};

/// By how much scores fall short of a perfect one on average.
double typical_gap(MatrixView<float> rows, const double* squared, const KMeansOptions& options,
                   double inertia) {
    const auto n = static_cast<double>(rows.rows);
    if (!options.spherical) return inertia / n;
    // inertia = sum of |x|^2 - 2 <x, c> + 1, and <x, c> is |x| at best.
    double norms = 0.0;
    double energy = 0.0;
    for (std::size_t i = 0; i < rows.rows; ++i) {
        norms += std::sqrt(squared[i]);
        energy += squared[i];
    }
    return std::max(0.0, norms - (energy + n - inertia) / 2.0) / n;
}

}  // namespace

std::size_t largest_size(std::size_t rows, std::size_t k, double balance) noexcept {
    const std::size_t fewest = (rows + k - 1) / k;
    const double wanted = balance * static_cast<double>(rows) / static_cast<double>(k);
    if (wanted >= static_cast<double>(rows)) return rows;
    return std::max(fewest, static_cast<std::size_t>(wanted));
}

void repair(MatrixView<float> rows, const Centroids& centroids, std::size_t most, Id* nearest,
            int threads) {
    std::vector<std::size_t> sizes = sizes_of(nearest, rows.rows, centroids.rows.rows);
    for (int round = 0; round < kRounds && !fits(sizes, most); ++round) {
        for (const Move& move : moves_of(rows, centroids, sizes, most, nearest, threads)) {
            Id& label = nearest[move.row];
            if (sizes[label] <= most || sizes[move.to] >= most) continue;
            --sizes[label];
            label = move.to;
            ++sizes[label];
        }
    }
    if (!fits(sizes, most)) place_surplus(rows, centroids, sizes, most, nearest, threads);
}

void balance(MatrixView<float> rows, NearestCentroid& search, const KMeansOptions& options,
             int threads, LloydState& state) {
    const std::size_t n = rows.rows;
    const std::size_t k = options.k;
    const std::size_t most = largest_size(n, k, options.balance);
    const double mean = static_cast<double>(n) / static_cast<double>(k);
    KMeansOptions between = options;
    between.iterations = kBetween;
    for (int round = 0; round < kRegroups; ++round) {
        const auto stream = kStream + static_cast<std::uint64_t>(round);
        if (!regroup(rows, options, most, stream, threads, state)) break;
        run_lloyd(rows, search, between, threads, state);
    }
    Prices prices(k, typical_gap(rows, search.squared_norms(), options, state.inertia.back()));
    ClusterSums sums(rows, k, search.squared_norms());
    std::vector<float> next(state.centroids.size());
    std::vector<Id> before;
    for (int pass = 0; pass < kPricings + kRepairs; ++pass) {
        const Centroids plain{{state.centroids.data(), k, rows.cols}, options.spherical};
        Centroids priced = plain;
        priced.price = prices.values();
        before = state.nearest;
        search.find(priced, true, state.nearest.data(), nullptr, threads);
        const bool last = pass >= kPricings;
        const bool fit = fits(sizes_of(state.nearest.data(), n, k), most);
        if (last && !fit) repair(rows, plain, most, state.nearest.data(), threads);
        sums.assign(pass == 0 ? nullptr : before.data(), state.nearest.data(), threads);
        sums.means(plain, next.data(), threads);
        if (!last) prices.adjust(sums.sizes(), most, mean);
        prices.forget_empty(sums.sizes());
        if (pass + 1 < kPricings + kRepairs) {
            fill_empty(source_of(rows), sums.sizes(), state.nearest.data(), options,
                       kStream + static_cast<std::uint64_t>(kRegroups + pass), next.data());
        }
        state.centroids.swap(next);
    }
}

}  // namespace nearfield

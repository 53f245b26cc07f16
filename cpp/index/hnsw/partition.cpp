#include "index/hnsw/partition.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/parallel.h"
#include "base/random.h"
#include "quant/kmeans/kmeans.h"
#include "quant/kmeans/nearest.h"

namespace nearfield {
namespace {

/// Rows that are floats at one time.
constexpr std::size_t kChunk = std::size_t{1} << 15;
/// Rows a list that centres are found from, and how often they move.
constexpr std::size_t kSampled = 32;
constexpr std::size_t kLeastSampled = 4096;
constexpr int kIterations = 8;
/// Parts that rows are cut into at once. More are cut in two steps, so that a row meets few centres.
constexpr std::size_t kMostParts = 1024;

class Cutter {
public:
    Cutter(const RowReader& rows, ListSizes sizes, bool by_distance, std::uint64_t seed,
           int threads)
        : rows_(rows),
          dim_(rows.dim()),
          sizes_(sizes),
          by_distance_(by_distance),
          seed_(seed),
          threads_(threads) {}

    Partition cut(std::span<const Id> which) {
        which_ = which;
        std::vector<Id> all(which.size());
        std::iota(all.begin(), all.end(), Id{0});
        cut_list(std::move(all));
        return in_order_of_centres();
    }

private:
    /// Appends the lists of these.
    void cut_list(std::vector<Id> members) {
        const std::size_t n = members.size();
        if (n <= sizes_.most) {
            add_list(members, mean_of(members).data());
            return;
        }
        const std::size_t k = parts_of(n);
        const std::vector<float> centres = centres_of(members, k);
        const std::vector<Id> nearest = assign_all(members, centres, k);
        std::vector<std::vector<Id>> lists(k);
        for (std::size_t i = 0; i < n; ++i) lists[nearest[i]].push_back(members[i]);
        for (std::size_t j = 0; j < k; ++j) {
            if (lists[j].empty()) continue;
            if (lists[j].size() <= sizes_.most) {
                add_list(lists[j], centres.data() + j * dim_);
            } else if (lists[j].size() == n) {
                chop(members, centres.data() + j * dim_);
            } else {
                cut_list(std::move(lists[j]));
            }
        }
    }

    std::size_t parts_of(std::size_t n) const noexcept {
        const std::size_t lists = (n + sizes_.target - 1) / sizes_.target;
        return lists <= kMostParts ? lists : std::min(kMostParts, lists / kMostParts + 1);
    }

    /// Rows that no centre tells apart.
    void chop(const std::vector<Id>& members, const float* centre) {
        for (std::size_t at = 0; at < members.size(); at += sizes_.target) {
            const std::size_t end = std::min(members.size(), at + sizes_.target);
            add_list(std::span(members).subspan(at, end - at), centre);
        }
    }

    void add_list(std::span<const Id> members, const float* centre) {
        lists_.emplace_back(members.begin(), members.end());
        centres_.insert(centres_.end(), centre, centre + dim_);
    }

    void read(std::span<const Id> members, float* out) {
        parallel_for(members.size(), threads_,
                     [&](std::size_t i, int) { rows_.read(which_[members[i]], out + i * dim_); });
    }

    std::vector<float> mean_of(const std::vector<Id>& members) {
        std::vector<float> row(dim_);
        std::vector<double> sum(dim_);
        for (const Id i : members) {
            rows_.read(which_[i], row.data());
            for (std::size_t d = 0; d < dim_; ++d) sum[d] += static_cast<double>(row[d]);
        }
        double squared = 0.0;
        for (const double x : sum) squared += x * x;
        const double unit = squared > 0.0 ? std::sqrt(squared) : 1.0;
        const double by = by_distance_ ? static_cast<double>(members.size()) : unit;
        for (std::size_t d = 0; d < dim_; ++d) row[d] = static_cast<float>(sum[d] / by);
        return row;
    }

    std::vector<float> centres_of(const std::vector<Id>& members, std::size_t k) {
        Random random(seed_, stream_++);
        std::vector<Id> sample = members;
        const std::size_t n = std::min(sample.size(), std::max(k * kSampled, kLeastSampled));
        for (std::size_t i = 0; i < n; ++i) {
            std::swap(sample[i], sample[i + random.below(sample.size() - i)]);
        }
        sample.resize(n);
        std::vector<float> rows(n * dim_);
        read(sample, rows.data());
        KMeansOptions options;
        options.k = k;
        options.iterations = kIterations;
        options.seed = random.next();
        options.spherical = !by_distance_;
        return kmeans({rows.data(), n, dim_}, options, threads_).centroids;
    }

    std::vector<Id> assign_all(const std::vector<Id>& members, const std::vector<float>& centres,
                               std::size_t k) {
        std::vector<Id> nearest(members.size());
        std::vector<float> chunk(std::min(kChunk, members.size()) * dim_);
        for (std::size_t at = 0; at < members.size(); at += kChunk) {
            const std::size_t n = std::min(kChunk, members.size() - at);
            read(std::span(members).subspan(at, n), chunk.data());
            assign({chunk.data(), n, dim_}, {centres.data(), k, dim_}, !by_distance_,
                   nearest.data() + at, nullptr, threads_);
        }
        return nearest;
    }

    double between(std::size_t a, std::size_t b) const noexcept {
        double sum = 0.0;
        for (std::size_t d = 0; d < dim_; ++d) {
            const auto x = static_cast<double>(centres_[a * dim_ + d]);
            const auto y = static_cast<double>(centres_[b * dim_ + d]);
            sum += by_distance_ ? (x - y) * (x - y) : -x * y;
        }
        return sum;
    }

    /// Puts lists into a chain, each followed by the nearest one left.
    void chain(std::span<Id> lists) const {
        for (std::size_t i = 1; i < lists.size(); ++i) {
            std::size_t best = i;
            double least = std::numeric_limits<double>::infinity();
            for (std::size_t j = i; j < lists.size(); ++j) {
                const double d = between(lists[i - 1], lists[j]);
                if (d < least) {
                    least = d;
                    best = j;
                }
            }
            std::swap(lists[i], lists[best]);
        }
    }

    /// All lists: a chain of groups, in each of them a chain of lists.
    std::vector<Id> order_of_lists() const {
        const std::size_t k = lists_.size();
        std::vector<Id> lists(k);
        std::iota(lists.begin(), lists.end(), Id{0});
        Random random(seed_, ~std::uint64_t{0});
        random.shuffle(lists.data(), k);
        const auto count = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(k))));
        std::vector<Id> heads(lists.begin(), lists.begin() + static_cast<std::ptrdiff_t>(count));
        chain(heads);
        std::vector<float> at(count * dim_);
        for (std::size_t g = 0; g < count; ++g) {
            std::copy_n(centres_.data() + heads[g] * dim_, dim_, at.data() + g * dim_);
        }
        std::vector<Id> group(k);
        assign({centres_.data(), k, dim_}, {at.data(), count, dim_}, !by_distance_, group.data(),
               nullptr, threads_);
        std::stable_sort(lists.begin(), lists.end(),
                         [&](Id a, Id b) { return group[a] < group[b]; });
        std::vector<std::size_t> begin(count + 1);
        for (const Id list : lists) ++begin[group[list] + 1];
        std::partial_sum(begin.begin(), begin.end(), begin.begin());
        parallel_for(count, threads_, [&](std::size_t g, int) {
            chain(std::span(lists).subspan(begin[g], begin[g + 1] - begin[g]));
        });
        return lists;
    }

    Partition in_order_of_centres() const {
        Partition result;
        result.order.reserve(which_.size());
        result.centres.reserve(centres_.size());
        result.begin.push_back(0);
        for (const Id list : order_of_lists()) {
            result.order.insert(result.order.end(), lists_[list].begin(), lists_[list].end());
            result.begin.push_back(result.order.size());
            const float* const centre = centres_.data() + list * dim_;
            result.centres.insert(result.centres.end(), centre, centre + dim_);
        }
        return result;
    }

    const RowReader& rows_;
    std::size_t dim_;
    ListSizes sizes_;
    bool by_distance_;
    std::uint64_t seed_;
    int threads_;
    std::uint64_t stream_ = 0;
    std::span<const Id> which_;
    std::vector<std::vector<Id>> lists_;
    std::vector<float> centres_;
};

}  // namespace

Partition partition(const RowReader& rows, std::span<const Id> which, ListSizes sizes,
                    bool by_distance, std::uint64_t seed, int threads) {
    return Cutter(rows, sizes, by_distance, seed, threads).cut(which);
}

}  // namespace nearfield

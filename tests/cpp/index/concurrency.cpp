// For every kind of index: threads that search, search by range and reconstruct while others add, remove, replace and save: no
// removed row comes back in a search that starts after remove returned, no permanent row is missing,
// every score belongs to its row. The same under corpus adapters, one of which comes and goes meanwhile.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "index/hnsw/hnsw_index.h"
#include "index/ivf/ivf_index.h"
#include "index/load.h"
#include "index/oracle.h"
#include "transform/corpus_map.h"

using nearfield::AdapterShare;
using nearfield::CorpusMap;
using nearfield::DType;
using nearfield::FlatIndex;
using nearfield::HnswIndex;
using nearfield::IvfIndex;
using nearfield::Metric;
using nearfield::Random;
using oracle::kFlat;
using oracle::Shape;

namespace {

/// Rows of up to 32 dims stand close together, and a scan of the last one reads (and multiplies by zero)
/// bytes behind it, which a writer may be filling with the next row. A race detector cannot know that.
#if defined(__SANITIZE_THREAD__)
constexpr std::size_t kTightDim = 34;
#else
constexpr std::size_t kTightDim = 20;
#endif
constexpr std::size_t kWideDim = 70;
constexpr std::int64_t kPermanent = 400;
/// So many that a graph is made in bulk first and that walks are quicker than looking at every row.
constexpr std::int64_t kPermanentNodes = 1000;
constexpr std::int64_t kFirstTransient = 10'000;
constexpr std::int64_t kReplaced = 5000;  // kReplaced + i is replaced again and again
constexpr std::size_t kReplacedCount = 40;
constexpr int kRounds = kSanitized ? 60 : 250;
constexpr std::size_t kBatch = 50;
/// Few, so that single lists get many runs and are put in order again and again.
constexpr Shape kLists{7};
constexpr Shape kGraph{0, 6};

std::unique_ptr<nearfield::Index> make_index(Shape shape, Metric metric, std::size_t dim,
                                             const std::string& quantizer) {
    const std::size_t nlist = shape.lists;
    const auto coding = quantizer.empty() ? nullptr : oracle::kept(quantizer, dim, nlist != 0);
    std::unique_ptr<nearfield::Index> index;
    if (shape.links != 0) {
        const nearfield::GraphSpec spec{shape.links, 30, 1};
        index = std::make_unique<HnswIndex>(dim, metric, DType::kF32, spec, coding);
    } else if (nlist == 0) {
        index = std::make_unique<FlatIndex>(dim, metric, DType::kF32, coding);
    } else {
        index = std::make_unique<IvfIndex>(dim, metric, DType::kF32, nlist, 1, coding);
    }
    Random random(5);
    const std::vector<float> x = oracle::draw(DType::kF32, 200 * dim, random);
    index->train({x.data(), 200, dim, dim * sizeof(float), DType::kF32}, 1);
    return index;
}

/// The vector of a label; version tells generations of replaced labels apart.
std::vector<float> vector_of(std::int64_t label, std::uint64_t version, std::size_t dim) {
    Random random(static_cast<std::uint64_t>(label), version);
    return oracle::draw(DType::kF32, dim, random);
}

/// Corpus adapters c + u <v, c> by name, each with few small u and v.
class Maps {
public:
    using Shares = std::vector<AdapterShare>;

    explicit Maps(std::size_t dim) : dim_(dim) {}

    std::shared_ptr<const CorpusMap> map(const std::string& name) const {
        const auto [u, v] = factors(name);
        return std::make_shared<const CorpusMap>(
            CorpusMap::low_rank({u.data(), dim_, 1}, {v.data(), dim_, 1}));
    }
    std::vector<float> apply(const Shares& shares, const std::vector<float>& x) const {
        std::vector<float> out = x;
        for (const AdapterShare& share : shares) {
            const auto [u, v] = factors(share.name);
            float product = 0.0f;
            for (std::size_t k = 0; k < dim_; ++k) product += v[k] * x[k];
            for (std::size_t k = 0; k < dim_; ++k) {
                out[k] += static_cast<float>(share.weight) * u[k] * product;
            }
        }
        return out;
    }

private:
    std::pair<std::vector<float>, std::vector<float>> factors(const std::string& name) const {
        std::pair<std::vector<float>, std::vector<float>> out;
        out.first.assign(dim_, 0.0f);
        out.second.assign(dim_, 0.0f);
        Random random(name.size());
        for (int i = 0; i < 4; ++i) {
            out.first[random.below(dim_)] = 0.5f;
            out.second[random.below(dim_)] = i % 2 == 0 ? 0.25f : -0.5f;
        }
        return out;
    }

    std::size_t dim_;
};

const std::string kLasting = "lasting";
const std::string kPassing = "passing by";

class Stress {
public:
    Stress(Shape shape, Metric metric, std::size_t dim, const std::string& quantizer = "",
           bool is_adapted = false)
        : shape_(shape),
          permanent_(shape.links != 0 ? kPermanentNodes : kPermanent),
          metric_(metric),
          dim_(dim),
          is_adapted_(is_adapted),
          maps_(dim),
          index_(make_index(shape, metric, dim, quantizer)),
          removed_(kBatch * kRounds),
          started_(kReplacedCount),
          done_(kReplacedCount) {
        add(0, static_cast<std::size_t>(permanent_), 0, false);
        add(kReplaced, kReplacedCount, 0, false);
        if (is_adapted_) index_->add_corpus_adapter(kLasting, maps_.map(kLasting), 2);
    }

    void run() {
        std::vector<std::thread> threads;
        const auto start = [&](auto body) {
            threads.push_back(std::thread([this, body] { guard(body); }));
        };
        start([this] { add_and_remove(); });
        start([this] { replace(); });
        start([this] { save(); });
        start([this] { search(1); });
        start([this] { search(2); });
        start([this] { search_range(); });
        start([this] { reconstruct(); });
        if (is_adapted_) start([this] { adapt(); });
        for (std::thread& thread : threads) thread.join();
        if (!failure_.empty()) throw check::Failure(failure_);
        CHECK(searches_ > 0);
    }

private:
    template <class Body>
    void guard(Body body) {
        try {
            body();
        } catch (const std::exception& error) {
            const std::lock_guard lock(failure_mutex_);
            if (failure_.empty()) failure_ = error.what();
            stop_ = true;
        }
    }

    void add(std::int64_t first, std::size_t n, std::uint64_t version, bool replace) {
        std::vector<float> x;
        std::vector<std::int64_t> labels;
        for (std::size_t i = 0; i < n; ++i) {
            labels.push_back(first + static_cast<std::int64_t>(i));
            const std::vector<float> row = vector_of(labels.back(), version);
            x.insert(x.end(), row.begin(), row.end());
        }
        index_->add({x.data(), n, dim_, dim_ * sizeof(float), DType::kF32}, labels.data(), replace,
                    1 + static_cast<int>(first % 2));
    }

    void add_and_remove() {
        for (int round = 0; round < kRounds && !stop_; ++round) {
            const std::int64_t first = kFirstTransient + round * static_cast<std::int64_t>(kBatch);
            add(first, kBatch, 0, false);
            // Every other label of this batch and all the rest of the one before.
            std::vector<std::int64_t> gone;
            for (std::int64_t i = 0; i < static_cast<std::int64_t>(kBatch); ++i) {
                if (i % 2 == 0) gone.push_back(first + i);
                if (i % 2 == 1 && round > 0)
                    gone.push_back(first + i - static_cast<std::int64_t>(kBatch));
            }
            CHECK_EQ(index_->remove(gone), gone.size());
            for (const std::int64_t label : gone) {
                removed_[static_cast<std::size_t>(label - kFirstTransient)].store(true);
            }
            // On a busy machine the others may not have had a turn yet.
            const int seen = searches_;
            for (int turn = 0; turn < 1000 && searches_ == seen && !stop_; ++turn) {
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
        }
        stop_ = true;
    }

    void replace() {
        for (std::uint64_t version = 1; !stop_; ++version) {
            const std::size_t half = kReplacedCount / 2 * (version % 2);
            for (std::size_t i = half; i < half + kReplacedCount / 2; ++i) started_[i] = version;
            add(kReplaced + static_cast<std::int64_t>(half), kReplacedCount / 2, version, true);
            for (std::size_t i = half; i < half + kReplacedCount / 2; ++i) done_[i] = version;
            std::this_thread::yield();
        }
    }

    void save() {
        const std::string path = (std::filesystem::temp_directory_path() /
                                  ("nearfield-stress-" + std::to_string(getpid())))
                                     .string();
        while (!stop_) {
            index_->save(path, false);
            const auto loaded = nearfield::load_index(path, true, true);
            CHECK(loaded->size() >= static_cast<std::size_t>(permanent_) + kReplacedCount);
            for (const bool held : loaded->contains(permanent())) CHECK(held);
            if (is_adapted_) CHECK_EQ(loaded->corpus_adapters()[0].name, kLasting);
        }
        std::filesystem::remove(path);
    }

    std::vector<std::int64_t> permanent() const {
        std::vector<std::int64_t> labels;
        for (std::int64_t label = 0; label < permanent_; ++label) labels.push_back(label);
        return labels;
    }

    /// What was already settled when a question began.
    struct Before {
        std::vector<bool> removed;
        std::vector<std::uint64_t> version;
    };
    Before look() const {
        Before before;
        for (const auto& flag : removed_) before.removed.push_back(flag.load());
        for (const auto& version : done_) before.version.push_back(version.load());
        return before;
    }

    using Shares = Maps::Shares;

    /// What a search of these threads may ask for at any time.
    Shares some_shares(Random& random) const {
        if (!is_adapted_ || random.below(3) == 0) return {};
        return {{kLasting, random.below(2) == 0 ? 1.0 : -0.5}};
    }

    bool is_score(float score, const Shares& shares, const float* q, std::int64_t label,
                  std::uint64_t version) const {
        const std::vector<float> row = maps_.apply(shares, vector_of(label, version));
        const float exact = oracle::score(metric_, q, {label, row}).score;
        // Lengths of mapped rows are rounded.
        return shares.empty() ? score == exact
                              : std::fabs(score - exact) <= 1e-5f * (1.0f + std::fabs(exact));
    }

    void check_result(const Before& before, const Shares& shares, const float* q,
                      std::int64_t label, float score) const {
        if (label >= kFirstTransient) {
            CHECK(!before.removed[static_cast<std::size_t>(label - kFirstTransient)]);
        }
        if (label < kReplaced || label >= kFirstTransient) {
            CHECK(is_score(score, shares, q, label, 0));
            return;
        }
        // A generation that was not yet replaced when the search began, or a later one.
        const auto at = static_cast<std::size_t>(label - kReplaced);
        bool matches = false;
        for (std::uint64_t v = before.version[at]; v <= started_[at] && !matches; ++v) {
            matches = is_score(score, shares, q, label, v);
        }
        CHECK(matches);
    }

    void search_once(Random& random, const Shares& shares, int threads) {
        const std::size_t k = 15;
        const std::size_t n = 1 + random.below(6);
        const std::vector<float> q = oracle::draw(DType::kF32, n * dim_, random);
        const Before before = look();
        const oracle::Found found = oracle::search(*index_, q, dim_, k, nullptr, threads,
                                                   nprobe(random), 1 + random.below(20), shares);
        for (std::size_t i = 0; i < n * k; ++i) {
            const float* query = q.data() + i / k * dim_;
            check_result(before, shares, query, found.ids[i], found.scores[i]);
            if (i % k == 0) continue;
            const bool falling = metric_ == Metric::kL2 ? found.scores[i] >= found.scores[i - 1]
                                                        : found.scores[i] <= found.scores[i - 1];
            CHECK(falling);
        }
        ++searches_;
    }

    void search(std::uint64_t seed) {
        Random random(seed);
        while (!stop_) {
            search_once(random, some_shares(random), 1 + static_cast<int>(seed % 2));
            if (!is_adapted_ || random.below(4) != 0) continue;
            try {
                search_once(random, {{kPassing, 1.0}}, 1);
            } catch (const std::invalid_argument&) {
                // Not there just now.
            }
        }
    }

    /// An adapter that comes and goes, and is there for whoever has added it.
    void adapt() {
        Random random(10);
        while (!stop_) {
            index_->add_corpus_adapter(kPassing, maps_.map(kPassing),
                                       1 + static_cast<int>(random.below(2)));
            search_once(random, {{kPassing, 1.0}}, 2);
            search_once(random, {{kLasting, 0.5}, {kPassing, -0.25}}, 2);
            index_->remove_corpus_adapter(kPassing);
            CHECK_THROWS(std::invalid_argument, search_once(random, {{kPassing, 1.0}}, 1));
        }
    }

    /// A threshold that lets everything pass: all permanent rows, no removed one, none twice.
    void search_range() {
        Random random(9);
        while (!stop_) {
            const std::vector<float> q = oracle::draw(DType::kF32, dim_, random);
            const Before before = look();
            const double all = metric_ == Metric::kL2 ? 1e9 : -1e9;
            nearfield::SearchOptions options;
            options.threads = 2;
            options.nprobe = SIZE_MAX;  // every list
            options.corpus_adapters = some_shares(random);
            const auto found = index_->range_search({q.data(), 1, dim_}, all, options);
            std::int64_t seen = 0;
            std::vector<std::int64_t> ids = found[0].ids;
            for (std::size_t i = 0; i < ids.size(); ++i) {
                check_result(before, options.corpus_adapters, q.data(), ids[i], found[0].scores[i]);
                seen += ids[i] < permanent_ ? 1 : 0;
            }
            CHECK_EQ(seen, permanent_);
            std::sort(ids.begin(), ids.end());
            CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
        }
    }

    void reconstruct() {
        Random random(8);
        std::vector<float> out(2 * dim_);
        const auto width = static_cast<std::ptrdiff_t>(dim_);
        while (!stop_) {
            const auto fixed =
                static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(permanent_)));
            const std::size_t at = random.below(kReplacedCount);
            const std::uint64_t from = done_[at];
            const std::int64_t labels[] = {fixed, kReplaced + static_cast<std::int64_t>(at)};
            const Shares shares = some_shares(random);
            index_->reconstruct(labels, shares, out.data());
            const auto as_told = [&](std::int64_t label, std::uint64_t version) {
                return maps_.apply(shares, vector_of(label, version));
            };
            CHECK(std::equal(out.begin(), out.begin() + width, as_told(fixed, 0).begin()));
            bool matches = false;
            for (std::uint64_t v = from; v <= started_[at] && !matches; ++v) {
                matches = std::equal(out.begin() + width, out.end(), as_told(labels[1], v).begin());
            }
            CHECK(matches);
        }
    }

    std::size_t nprobe(Random& random) const {
        return 1 + random.below(std::max<std::size_t>(shape_.lists, 1));
    }

    std::vector<float> vector_of(std::int64_t label, std::uint64_t version) const {
        return ::vector_of(label, version, dim_);
    }

    Shape shape_;
    std::int64_t permanent_;
    Metric metric_;
    std::size_t dim_;
    bool is_adapted_;
    Maps maps_;
    std::unique_ptr<nearfield::Index> index_;
    std::atomic<bool> stop_{false};
    std::atomic<int> searches_{0};
    std::vector<std::atomic<bool>> removed_;
    std::vector<std::atomic<std::uint64_t>> started_;  // generation that may be visible
    std::vector<std::atomic<std::uint64_t>> done_;     // generation that must be
    std::mutex failure_mutex_;
    std::string failure_;
};

}  // namespace

TEST(flat_l2_under_writers) { Stress(kFlat, Metric::kL2, kTightDim).run(); }
TEST(flat_ip_under_writers) { Stress(kFlat, Metric::kIp, kWideDim).run(); }
TEST(flat_cosine_under_writers) { Stress(kFlat, Metric::kCosine, kTightDim).run(); }
TEST(ivf_l2_under_writers) { Stress(kLists, Metric::kL2, kTightDim).run(); }
TEST(ivf_cosine_under_writers) { Stress(kLists, Metric::kCosine, kWideDim).run(); }
TEST(flat_signs_under_writers) { Stress(kFlat, Metric::kL2, kTightDim, "rabitq1").run(); }
TEST(ivf_signs_under_writers) { Stress(kLists, Metric::kCosine, kWideDim, "rabitq1").run(); }
TEST(flat_packed_under_writers) { Stress(kFlat, Metric::kIp, kTightDim, "pq1x4").run(); }
TEST(ivf_packed_under_writers) { Stress(kLists, Metric::kL2, kWideDim, "pq1x4").run(); }
TEST(ivf_codes_under_writers) { Stress(kLists, Metric::kCosine, kWideDim, "sq8").run(); }
TEST(hnsw_l2_under_writers) { Stress(kGraph, Metric::kL2, kTightDim).run(); }
TEST(hnsw_ip_under_writers) { Stress(kGraph, Metric::kIp, kWideDim).run(); }
TEST(hnsw_cosine_under_writers) { Stress(kGraph, Metric::kCosine, kWideDim).run(); }
TEST(hnsw_packed_under_writers) { Stress(kGraph, Metric::kIp, kTightDim, "pq1x4").run(); }
TEST(hnsw_codes_under_writers) { Stress(kGraph, Metric::kCosine, kWideDim, "sq8").run(); }
TEST(flat_adapted_under_writers) { Stress(kFlat, Metric::kL2, kTightDim, "", true).run(); }
TEST(flat_signs_adapted_under_writers) {
    Stress(kFlat, Metric::kCosine, kWideDim, "rabitq1", true).run();
}
TEST(ivf_adapted_under_writers) { Stress(kLists, Metric::kCosine, kWideDim, "", true).run(); }
TEST(ivf_codes_adapted_under_writers) { Stress(kLists, Metric::kL2, kTightDim, "sq8", true).run(); }
TEST(hnsw_adapted_under_writers) { Stress(kGraph, Metric::kCosine, kWideDim, "", true).run(); }
TEST(hnsw_codes_adapted_under_writers) {
    Stress(kGraph, Metric::kL2, kTightDim, "pq1x4", true).run();
}

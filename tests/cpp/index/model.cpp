// Every kind of index against a list of rows: random histories of add, replace, remove, save and load, with every
// kind of question asked in between. A graph that is searched less widely than it has rows may miss some: what
// comes back is checked, not that it is the best.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"
#include "index/hnsw/hnsw_index.h"
#include "index/ivf/ivf_index.h"
#include "index/load.h"
#include "index/oracle.h"

using nearfield::DType;
using nearfield::FlatIndex;
using nearfield::HnswIndex;
using nearfield::IvfIndex;
using nearfield::kMissing;
using nearfield::Metric;
using nearfield::Random;
using oracle::kFlat;
using oracle::Shape;

namespace {

constexpr Shape kGraph{0, 4};

std::unique_ptr<nearfield::Index> make_index(Shape shape, Metric metric, DType dtype,
                                             std::size_t dim, Random& random, bool signs = false) {
    const std::size_t nlist = shape.lists;
    const auto coding = signs ? oracle::signs(dim, nlist != 0) : nullptr;
    if (shape.links != 0) {
        const nearfield::GraphSpec spec{shape.links, 20, 3};
        return std::make_unique<HnswIndex>(dim, metric, dtype, spec, coding);
    }
    if (nlist == 0) return std::make_unique<FlatIndex>(dim, metric, dtype, coding);
    auto index = std::make_unique<IvfIndex>(dim, metric, dtype, nlist, 3, coding);
    const std::vector<std::uint8_t> bytes =
        oracle::pack(dtype, oracle::draw(dtype, 10 * nlist * dim, random));
    index->train({bytes.data(), 10 * nlist, dim, dim * nearfield::size_of(dtype), dtype}, 1);
    return index;
}

class Machine {
public:
    Machine(Shape shape, Metric metric, DType dtype, std::size_t dim, std::uint64_t seed,
            bool signs = false)
        : metric_(metric),
          dtype_(dtype),
          dim_(dim),
          random_(seed),
          index_(make_index(shape, metric, dtype, dim, random_, signs)),
          path_((std::filesystem::temp_directory_path() /
                 ("nearfield-model-" + std::to_string(getpid())))
                    .string()) {}
    ~Machine() { std::filesystem::remove(path_); }

    void add(std::size_t n, bool own_labels, bool replace) {
        const std::vector<float> x = oracle::draw(dtype_, n * dim_, random_);
        std::vector<std::int64_t> labels(n);
        for (std::size_t i = 0; i < n; ++i) {
            labels[i] = own_labels ? static_cast<std::int64_t>(random_.below(4000)) - 1000
                                   : next_ + static_cast<std::int64_t>(i);
        }
        std::vector<std::int64_t> sorted = labels;
        std::sort(sorted.begin(), sorted.end());
        const bool twice = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
        const bool taken = std::any_of(labels.begin(), labels.end(),
                                       [&](std::int64_t label) { return find(label) != end(); });
        const std::vector<std::uint8_t> bytes = oracle::pack(dtype_, x);
        const nearfield::RowsView view{bytes.data(), n, dim_, dim_ * nearfield::size_of(dtype_),
                                       dtype_};
        const auto call = [&] {
            index_->add(view, own_labels ? labels.data() : nullptr, replace, 1);
        };
        if (twice || (taken && !replace)) {
            CHECK_THROWS(std::invalid_argument, call());
            return;
        }
        call();
        for (const std::int64_t label : labels) erase(label);
        for (std::size_t i = 0; i < n; ++i) {
            const auto* from = x.data() + i * dim_;
            rows_.push_back({labels[i], std::vector<float>(from, from + dim_)});
        }
        next_ += static_cast<std::int64_t>(n);
    }

    void remove(std::size_t n) {
        std::vector<std::int64_t> labels;
        for (std::size_t i = 0; i < n; ++i) {
            const bool known = !rows_.empty() && random_.below(4) != 0;
            labels.push_back(known ? rows_[random_.below(rows_.size())].label
                                   : static_cast<std::int64_t>(random_.below(9000)) - 4000);
        }
        std::size_t expected = 0;
        for (const std::int64_t label : labels) expected += erase(label) ? 1 : 0;
        CHECK_EQ(index_->remove(labels), expected);
    }

    void save_and_load(bool mmap) {
        index_->save(path_, false);
        index_ = nearfield::load_index(path_, mmap, true);
    }

    void check_all() {
        CHECK_EQ(index_->size(), rows_.size());
        std::vector<std::int64_t> labels;
        std::vector<float> values;
        for (const oracle::Row& row : rows_) {
            labels.push_back(row.label);
            values.insert(values.end(), row.x.begin(), row.x.end());
        }
        CHECK(index_->labels() == labels);
        std::vector<float> got(values.size());
        index_->reconstruct(labels, {}, got.data());
        CHECK(got == values);
        const std::int64_t unknown[] = {123'456'789};
        std::vector<float> nothing(dim_);
        CHECK_THROWS(std::out_of_range, index_->reconstruct(unknown, {}, nothing.data()));
        std::vector<std::int64_t> asked = labels;
        asked.push_back(unknown[0]);
        const std::vector<bool> held = index_->contains(asked);
        for (std::size_t i = 0; i < labels.size(); ++i) CHECK(held[i]);
        CHECK(!held.back());
    }

    void check_search(std::size_t queries, std::size_t k, bool masked, int threads) {
        const std::vector<float> q = oracle::draw(dtype_, queries * dim_, random_);
        std::vector<std::uint8_t> mask(rows_.size());
        for (std::uint8_t& m : mask) m = random_.below(3) == 0 ? 1 : 0;
        const auto* passed = masked ? &mask : nullptr;
        const oracle::Found found = oracle::search(*index_, q, dim_, k, passed, threads);
        for (std::size_t i = 0; i < queries; ++i) {
            const auto truth = oracle::ranked(metric_, q.data() + i * dim_, rows_, passed);
            const std::size_t n = std::min(k, truth.size());
            CHECK_EQ(found.counts[i], static_cast<std::int64_t>(n));
            for (std::size_t j = 0; j < k; ++j) {
                const std::int64_t id = found.ids[i * k + j];
                CHECK_EQ(id, j < n ? truth[j].label : kMissing);
                const float score = found.scores[i * k + j];
                CHECK(j < n ? score == truth[j].score : score != score);
            }
        }
    }

    /// A walk of any breadth: as many live rows that pass as asked for, none twice, each with its score.
    void check_walk(std::size_t queries, std::size_t k, std::size_t breadth, bool masked) {
        const std::vector<float> q = oracle::draw(dtype_, queries * dim_, random_);
        std::vector<std::uint8_t> mask(rows_.size());
        for (std::uint8_t& m : mask) m = random_.below(3) != 0 ? 1 : 0;
        const auto* passed = masked ? &mask : nullptr;
        const oracle::Found found =
            oracle::search(*index_, q, dim_, k, passed, 2, SIZE_MAX, breadth);
        for (std::size_t i = 0; i < queries; ++i) {
            const auto truth = oracle::ranked(metric_, q.data() + i * dim_, rows_, passed);
            const std::size_t n = std::min(k, truth.size());
            CHECK_EQ(found.counts[i], static_cast<std::int64_t>(n));
            auto from = truth.begin();  // answers are in the order of all rows
            for (std::size_t j = 0; j < n; ++j) {
                const std::int64_t id = found.ids[i * k + j];
                from =
                    std::find_if(from, truth.end(), [id](const auto& s) { return s.label == id; });
                CHECK(from != truth.end());
                CHECK_EQ(found.scores[i * k + j], from->score);
                ++from;
            }
        }
    }

    void check_range(std::size_t queries, bool masked, int threads) {
        const std::vector<float> q = oracle::draw(dtype_, queries * dim_, random_);
        std::vector<std::uint8_t> mask(rows_.size());
        for (std::uint8_t& m : mask) m = random_.below(2) == 0 ? 1 : 0;
        const auto* passed = masked ? &mask : nullptr;
        double threshold = static_cast<double>(random_.below(20));
        if (!rows_.empty()) {  // a score that occurs: ties with the threshold count
            const auto some = oracle::ranked(metric_, q.data(), rows_, nullptr);
            threshold = some[random_.below(some.size())].score;
        }
        nearfield::SearchOptions options;
        if (masked) options.mask = nearfield::Mask(mask);
        options.threads = threads;
        options.nprobe = SIZE_MAX;  // every list
        const auto found = index_->range_search({q.data(), queries, dim_}, threshold, options);
        for (std::size_t i = 0; i < queries; ++i) {
            std::vector<std::int64_t> expected;
            for (const auto& s : oracle::ranked(metric_, q.data() + i * dim_, rows_, passed)) {
                const auto score = static_cast<double>(s.score);
                if (metric_ == Metric::kL2 ? score <= threshold : score >= threshold) {
                    expected.push_back(s.label);
                }
            }
            CHECK(found[i].ids == expected);
        }
    }

    Random& random() { return random_; }
    std::size_t size() const { return rows_.size(); }
    const nearfield::Index& index() const { return *index_; }

private:
    using Iterator = std::vector<oracle::Row>::iterator;
    Iterator end() { return rows_.end(); }
    Iterator find(std::int64_t label) {
        return std::find_if(rows_.begin(), rows_.end(),
                            [label](const oracle::Row& row) { return row.label == label; });
    }
    bool erase(std::int64_t label) {
        const auto at = find(label);
        if (at == end()) return false;
        rows_.erase(at);
        return true;
    }

    Metric metric_;
    DType dtype_;
    std::size_t dim_;
    Random random_;
    std::unique_ptr<nearfield::Index> index_;
    std::string path_;
    std::vector<oracle::Row> rows_;
    std::int64_t next_ = 0;
};

void ask(Machine& machine) {
    Random& random = machine.random();
    const std::size_t n = machine.size();
    const std::size_t ks[] = {1, 3, 10, n / 5 + 1, n + 4};
    const std::size_t batches[] = {1, 2, 5, 20, 70};
    const int threads = 1 + static_cast<int>(random.below(3));
    machine.check_search(batches[random.below(5)], ks[random.below(5)], random.below(3) == 0,
                         threads);
    machine.check_walk(batches[random.below(5)], ks[random.below(3)], 1 + random.below(30),
                       random.below(3) == 0);
    machine.check_range(1 + random.below(6), random.below(3) == 0, threads);
}

void run_history(Shape shape, Metric metric, DType dtype, std::size_t dim, std::uint64_t seed,
                 int steps, bool signs) {
    Machine machine(shape, metric, dtype, dim, seed, signs);
    Random& random = machine.random();
    machine.check_all();
    ask(machine);
    for (int step = 0; step < steps; ++step) {
        switch (random.below(10)) {
            case 0:
            case 1:
            case 2: machine.add(1 + random.below(200), false, false); break;
            case 3: machine.add(1 + random.below(30), true, false); break;
            case 4:
            case 5: machine.add(1 + random.below(60), true, true); break;
            case 6:
            case 7: machine.remove(1 + random.below(80)); break;
            case 8: machine.save_and_load(random.below(2) == 0); break;
            default: machine.add(1 + random.below(400), false, true); break;
        }
        if (step % 3 == 0) machine.check_all();
        ask(machine);
    }
    machine.check_all();
}

void run_histories(Shape shape, std::uint64_t seed, bool signs = false) {
    for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
        for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8, DType::kU8}) {
            ++seed;
            run_history(shape, metric, dtype, 1 + seed * 7 % 70, seed, 25, signs);
        }
    }
}

}  // namespace

TEST(histories_of_flat) { run_histories(kFlat, 100); }
TEST(histories_of_one_list) { run_histories({1}, 200); }
TEST(histories_of_ivf) { run_histories({9}, 300); }
TEST(histories_of_flat_signs) { run_histories(kFlat, 400, true); }
TEST(histories_of_ivf_signs) { run_histories({9}, 500, true); }
TEST(histories_of_hnsw) { run_histories(kGraph, 600); }
TEST(histories_of_hnsw_signs) { run_histories(kGraph, 700, true); }

/// The last row of a label counts, however many it had; other labels are found past it.
TEST(one_label_replaced_again_and_again) {
    for (const Shape shape : {kFlat, Shape{5}, kGraph}) {
        Random random(29);
        const auto index = make_index(shape, Metric::kL2, DType::kF32, 3, random);
        const auto add = [&](std::int64_t label, float value) {
            const float x[] = {value, -value, 1.0f};
            index->add({x, 1, 3, sizeof x, DType::kF32}, &label, true, 1);
        };
        for (std::int64_t label = 0; label < 300; ++label) add(label * 64 - 5, 0.5f);
        for (int i = 0; i < 4000; ++i) {
            add(i % 3 == 0 ? 59 : 123, static_cast<float>(i));
            if (i % 500 != 0) continue;
            CHECK_EQ(index->remove(std::vector<std::int64_t>{59}), std::size_t{1});
            CHECK(!index->contains(std::vector<std::int64_t>{59})[0]);
            add(59, -1.0f);
        }
        CHECK_EQ(index->size(), std::size_t{300});
        const std::int64_t labels[] = {59, 123, -5, 299 * 64 - 5};
        float out[12];
        index->reconstruct(labels, {}, out);
        CHECK(out[0] == 3999.0f && out[3] == 3998.0f && out[6] == 0.5f && out[9] == 0.5f);
    }
}

/// More than a quarter dead: the next store holds live rows alone, and nothing else changes.
TEST(removing_much_compacts) {
    for (const auto& [shape, own_labels] : {std::pair<Shape, bool>{kFlat, false},
                                            {kFlat, true},
                                            {Shape{6}, false},
                                            {Shape{6}, true},
                                            {kGraph, false},
                                            {kGraph, true}}) {
        Machine machine(shape, Metric::kIp, DType::kF32, 8, 17);
        machine.add(3000, false, false);
        if (own_labels) machine.add(5, true, true);
        while (machine.size() > 1500) machine.remove(100);
        CHECK(machine.index().snapshot()->count < 2600);
        machine.check_all();
        ask(machine);
        machine.add(300, false, true);
        machine.check_all();
        ask(machine);
        while (machine.size() > 0) machine.remove(400);
        machine.check_all();
        ask(machine);
        machine.save_and_load(true);
        machine.add(10, false, false);
        machine.check_all();
    }
}

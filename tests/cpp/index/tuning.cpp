// TuningTable: what is chosen and refused; indexes that are tuned while others search and save.
#include "index/tuning.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"
#include "index/load.h"
#include "index/oracle.h"

using nearfield::DType;
using nearfield::FlatIndex;
using nearfield::Metric;
using nearfield::Random;
using nearfield::TunedSetting;
using nearfield::TuningTable;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TunedSetting setting(std::uint32_t k, std::uint32_t batch, double level, std::uint32_t nprobe) {
    return {k, batch, nprobe, 0, 0, 0, level, 1.0, 1.0, 0.001, 100};
}

template <class Change>
bool refused(Change change, std::size_t nlist = 8) {
    TunedSetting one = setting(10, 1, 0.5, 3);
    change(one);
    try {
        const TuningTable table({one}, nlist);
    } catch (const std::invalid_argument&) {
        return true;
    }
    return false;
}

}  // namespace

TEST(chooses_the_smallest_k_and_level_and_the_nearest_batch) {
    const TuningTable table(
        {setting(20, 1, 0.95, 7), setting(10, 64, 0.9, 4), setting(10, 1, 0.9, 2),
         setting(10, 1, 0.8, 1), setting(10, 64, 0.8, 3)},
        8);
    CHECK_EQ(table.settings().front().nprobe, 1u);
    CHECK_EQ(table.choose(10, 0.8, 1).nprobe, 1u);
    CHECK_EQ(table.choose(1, 0.1, 0).nprobe, 1u);
    CHECK_EQ(table.choose(10, 0.80001, 1).nprobe, 2u);
    CHECK_EQ(table.choose(10, 0.8, 8).nprobe, 1u);
    CHECK_EQ(table.choose(10, 0.8, 9).nprobe, 3u);
    CHECK_EQ(table.choose(10, 0.9, 100'000).nprobe, 4u);
    CHECK_EQ(table.choose(10, 0.92, 64).nprobe, 7u);
    CHECK_EQ(table.choose(11, 0.5, 64).nprobe, 7u);
    CHECK_THROWS(std::invalid_argument, table.choose(21, 0.5, 1));
    CHECK_THROWS(std::invalid_argument, table.choose(10, 0.96, 1));
}

TEST(refuses_numbers_that_make_no_sense) {
    CHECK(!refused([](TunedSetting&) {}));
    CHECK(!refused([](TunedSetting& s) { s.nprobe = 8; }));
    CHECK(refused([](TunedSetting& s) { s.nprobe = 9; }));
    CHECK(refused([](TunedSetting& s) { s.nprobe = 0; }));
    CHECK(refused([](TunedSetting&) {}, 0));
    CHECK(!refused([](TunedSetting& s) { s.nprobe = 0; }, 0));
    CHECK(refused([](TunedSetting& s) { s.k = 0; }));
    CHECK(refused([](TunedSetting& s) { s.batch = 0; }));
    CHECK(refused([](TunedSetting& s) { s.rows = 0; }));
    CHECK(!refused([](TunedSetting& s) { s.margin = 0.25f; }));
    CHECK(refused([](TunedSetting& s) { s.margin = -0.25f; }));
    CHECK(refused([](TunedSetting& s) { s.margin = std::numeric_limits<float>::infinity(); }));
    CHECK(refused([](TunedSetting& s) { s.margin = std::numeric_limits<float>::quiet_NaN(); }));
    CHECK(refused([](TunedSetting& s) { s.level = 0.0; }));
    CHECK(refused([](TunedSetting& s) { s.recall = 1.5; }));
    CHECK(refused([](TunedSetting& s) { s.lower = 0.4; }));
    for (double TunedSetting::* field : {&TunedSetting::level, &TunedSetting::recall,
                                         &TunedSetting::lower, &TunedSetting::seconds}) {
        CHECK(refused([=](TunedSetting& s) { s.*field = kNaN; }));
        CHECK(refused([=](TunedSetting& s) { s.*field = -1.0; }));
        CHECK(refused([=](TunedSetting& s) { s.*field = 1.0 / 0.0; }));
    }
    CHECK_THROWS(std::invalid_argument, TuningTable({}, 8));
    CHECK_THROWS(std::invalid_argument,
                 TuningTable({setting(1, 1, 0.5, 1), setting(1, 1, 0.5, 2)}, 8));
    std::vector<TunedSetting> many;
    for (std::uint32_t k = 1; k <= TuningTable::kMaxSettings; ++k) {
        many.push_back(setting(k, 1, 0.5, 1));
    }
    CHECK_EQ(TuningTable(many, 8).settings().size(), TuningTable::kMaxSettings);
    many.push_back(setting(10'000, 1, 0.5, 1));
    CHECK_THROWS(std::invalid_argument, TuningTable(many, 8));
}

TEST(merging_replaces_the_same_k) {
    const TuningTable old({setting(5, 1, 0.5, 1), setting(10, 1, 0.5, 2)}, 8);
    const TuningTable more({setting(10, 2, 0.6, 3)}, 8);
    const TuningTable both(more.merged_with(old), 8);
    CHECK_EQ(both.settings().size(), std::size_t{2});
    CHECK_EQ(both.settings()[0].nprobe, 1u);
    CHECK_EQ(both.settings()[1].nprobe, 3u);
}

TEST(tuned_while_others_choose_and_save) {
    Random random(3);
    FlatIndex index(8, Metric::kL2, DType::kF32);
    const std::vector<float> x = oracle::draw(DType::kF32, 50 * 8, random);
    index.add({x.data(), 50, 8, 8 * sizeof(float), DType::kF32}, nullptr, false, 1);
    index.add_tuning({setting(1, 1, 0.5, 0)});
    const auto path = std::filesystem::temp_directory_path() /
                      ("nearfield-tuning-" + std::to_string(::getpid()) + ".nf");
    std::atomic<bool> done{false};
    std::atomic<int> wrong{0};
    std::thread reader([&] {
        while (!done) {
            const auto table = index.tuning();
            // Every table that is seen is whole: batches 1..n of one k, all of the same level.
            const double level = table->settings().front().level;
            for (const TunedSetting& s : table->settings()) wrong += s.level != level;
            wrong += table->choose(1, level, 4).level != level;
        }
    });
    std::thread saver([&] {
        while (!done) {
            index.save(path.string(), false);
            wrong += nearfield::load_index(path.string(), true, true)->tuning() == nullptr;
        }
    });
    for (int round = 1; round <= 300; ++round) {
        std::vector<TunedSetting> settings;
        for (std::uint32_t batch = 1; batch < 6; ++batch) {
            settings.push_back(setting(1, batch, round / 300.0, 0));
        }
        index.add_tuning(settings);
    }
    done = true;
    reader.join();
    saver.join();
    CHECK_EQ(wrong.load(), 0);
    CHECK_EQ(index.tuning()->settings().size(), std::size_t{5});
    std::filesystem::remove(path);
}

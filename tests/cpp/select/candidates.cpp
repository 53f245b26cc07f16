// Candidates against the definition: with L the k-th largest lower bound seen, nothing whose upper bound
// reaches L may be lost, and after a settle nothing below it is left.
#include "select/candidates.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "check.h"

using nearfield::Candidate;
using nearfield::Candidates;
using nearfield::Id;
using nearfield::Random;

namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

/// Everything that was ever seen.
struct Model {
    std::size_t k;
    float raised = kNone;
    std::vector<Candidate> all{};

    float floor() const {
        if (all.size() < k) return raised;
        std::vector<float> lowers;
        for (const Candidate& p : all) lowers.push_back(p.lower);
        std::nth_element(lowers.begin(), lowers.begin() + static_cast<std::ptrdiff_t>(k - 1),
                         lowers.end(), std::greater<>());
        return std::max(raised, lowers[k - 1]);
    }
    std::vector<Id> survivors() const {
        std::vector<Id> rows;
        for (const Candidate& p : all) {
            if (!(p.upper < floor())) rows.push_back(p.row);
        }
        std::sort(rows.begin(), rows.end());
        return rows;
    }
};

/// The one place that knows how pairs go in.
void push(Candidates& candidates, const Candidate& p) {
    candidates.reserve_more(1);
    candidates.append(p);
    candidates.update();
}

std::vector<Id> held(const Candidates& candidates) {
    std::vector<Id> rows;
    for (const Candidate& c : candidates.list()) rows.push_back(c.row);
    std::sort(rows.begin(), rows.end());
    return rows;
}

/// Scores from few values, so that bounds tie; intervals of width zero included.
Candidate draw(Random& random, Id row) {
    const float centre = static_cast<float>(random.below(40)) * 0.5f;
    const float width = static_cast<float>(random.below(4)) * 0.25f;
    return {centre + width, centre - width, row};
}

void check_settled(Candidates& candidates, const Model& model) {
    candidates.settle();
    CHECK_EQ(candidates.floor(), model.floor());
    CHECK(held(candidates) == model.survivors());
    for (const Candidate& c : candidates.list()) CHECK_EQ(c.upper, model.all[c.row].upper);
}

}  // namespace

TEST(what_reaches_the_floor_stays_and_the_rest_goes) {
    Random random(41);
    for (const std::size_t k : {1U, 2U, 7U, 15U, 16U, 100U, 700U}) {
        for (int round = 0; round < 30; ++round) {
            Candidates candidates(k);
            Model model{k};
            const std::size_t n = random.below(6 * k + 300);
            for (std::size_t i = 0; i < n; ++i) {
                const Candidate p = draw(random, static_cast<Id>(i));
                model.all.push_back(p);
                push(candidates, p);
                CHECK(candidates.floor() <= model.floor());
            }
            check_settled(candidates, model);
            check_settled(candidates, model);
        }
    }
}

TEST(a_scan_may_leave_out_what_the_floor_excludes) {
    Random random(42);
    for (const std::size_t k : {1U, 10U, 64U}) {
        Candidates candidates(k);
        Model model{k};
        std::size_t left_out = 0;
        for (Id row = 0; row < 5000; ++row) {
            const Candidate p = draw(random, row);
            model.all.push_back(p);
            if (p.upper < candidates.floor()) {
                ++left_out;
                continue;
            }
            push(candidates, p);
        }
        CHECK(left_out > 1000);
        check_settled(candidates, model);
    }
}

TEST(a_floor_from_elsewhere_counts) {
    Random random(43);
    Candidates candidates(5);
    Model model{5};
    for (Id row = 0; row < 400; ++row) {
        if (row % 50 == 20) {
            model.raised = std::max(model.raised, static_cast<float>(row) * 0.045f);
            candidates.raise(model.raised);
            candidates.raise(model.raised - 1.0f);
            CHECK(candidates.floor() >= model.raised);
        }
        const Candidate p = draw(random, row);
        model.all.push_back(p);
        push(candidates, p);
    }
    check_settled(candidates, model);
}

TEST(merging_is_pushing) {
    Random random(44);
    for (int round = 0; round < 100; ++round) {
        const std::size_t k = 1 + random.below(60);
        Candidates parts[3] = {Candidates(k), Candidates(k), Candidates(k)};
        Model model{k};
        const std::size_t n = random.below(900);
        for (std::size_t i = 0; i < n; ++i) {
            const Candidate p = draw(random, static_cast<Id>(i));
            model.all.push_back(p);
            push(parts[random.below(3)], p);
        }
        parts[0].merge(parts[1]);
        parts[0].merge(parts[2]);
        check_settled(parts[0], model);
    }
}

TEST(dropping_below_a_floor_keeps_ties) {
    Candidates candidates(3);
    for (Id row = 0; row < 50; ++row) {
        push(candidates, {static_cast<float>(row % 5), -1.0f, row});
    }
    candidates.drop_below(3.0f);
    CHECK_EQ(candidates.list().size(), 20U);
    for (const Candidate& c : candidates.list()) CHECK(c.upper >= 3.0f);
    candidates.drop_below(kNone);
    CHECK_EQ(candidates.list().size(), 20U);
}

/// A bound that overflowed must not take the pair with it.
TEST(nan_bounds_stay) {
    Candidates candidates(2);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    push(candidates, {nan, kNone, 0});
    for (Id row = 1; row < 300; ++row) {
        push(candidates, {static_cast<float>(row), static_cast<float>(row), row});
    }
    candidates.settle();
    const std::vector<Id> rows = held(candidates);
    CHECK(rows == std::vector<Id>({0, 298, 299}));
}

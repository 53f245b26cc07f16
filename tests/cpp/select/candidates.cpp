// Candidates against the definition: with L the k-th largest lower bound seen, nothing whose upper bound
// reaches L may be lost, after a trim nothing below it is left, and a guess above L is found out.
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
void push(Candidates& candidates, const Candidate& p, std::size_t rank) {
    candidates.append(p, rank);
    candidates.update(rank);
}

std::vector<Id> held(const Candidates& candidates) {
    std::vector<Id> rows;
    for (const Candidate& c : candidates.list()) rows.push_back(c.row);
    std::sort(rows.begin(), rows.end());
    return rows;
}

bool holds(const Candidates& candidates, Id row) {
    return std::any_of(candidates.list().begin(), candidates.list().end(),
                       [row](const Candidate& c) { return c.row == row; });
}

/// Scores from few values, so that bounds tie; intervals of width zero included.
Candidate draw(Random& random, Id row) {
    const float centre = static_cast<float>(random.below(40)) * 0.5f;
    const float width = static_cast<float>(random.below(4)) * 0.25f;
    return {centre + width, centre - width, row};
}

void check_trimmed(Candidates& candidates, const Model& model) {
    const float certain = candidates.trim();
    if (model.all.size() >= model.k) CHECK_EQ(std::max(certain, model.raised), model.floor());
    CHECK(candidates.floor() >= certain);
    // A floor from elsewhere is no reason to drop what is held.
    if (model.raised == kNone) CHECK(held(candidates) == model.survivors());
    for (const Id row : model.survivors()) CHECK(holds(candidates, row));
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
                push(candidates, p, model.k);
                CHECK(candidates.floor() <= model.floor());
            }
            check_trimmed(candidates, model);
            check_trimmed(candidates, model);
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
            push(candidates, p, model.k);
        }
        CHECK(left_out > 1000);
        check_trimmed(candidates, model);
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
        push(candidates, p, model.k);
    }
    check_trimmed(candidates, model);
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
            push(parts[random.below(3)], p, k);
        }
        parts[0].merge(parts[1]);
        parts[0].merge(parts[2]);
        check_trimmed(parts[0], model);
    }
}

TEST(trimming_keeps_ties) {
    Candidates candidates(3);
    for (Id row = 0; row < 50; ++row) {
        push(candidates, {static_cast<float>(row % 5), static_cast<float>(row % 5), row}, 3);
    }
    CHECK_EQ(candidates.trim(), 4.0f);
    CHECK_EQ(candidates.list().size(), 10U);
    for (const Candidate& c : candidates.list()) CHECK(c.upper >= 4.0f);
}

/// The floor may be any rank's: either the guess turns out right, and nothing is missing, or trim() returns
/// less than the floor, and what it returns is certain.
TEST(wrong_guesses_are_found_out) {
    Random random(45);
    std::size_t right = 0;
    std::size_t wrong = 0;
    for (int round = 0; round < 400; ++round) {
        const std::size_t k = 1 + random.below(50);
        const std::size_t n = 100 + random.below(3000);
        Candidates candidates(k);
        Model model{k};
        for (std::size_t i = 0; i < n; ++i) {
            // In half of the rounds the best come first, where guesses go wrong.
            const auto trend = round % 2 == 0 ? 0.0f : static_cast<float>(n - i) / 50.0f;
            Candidate p = draw(random, static_cast<Id>(i));
            p.upper += trend;
            p.lower += trend;
            model.all.push_back(p);
            if (p.upper < candidates.floor()) continue;
            push(candidates, p, std::min(k, k * (i + 1) / n + 2));
        }
        const float certain = candidates.trim();
        if (certain < candidates.floor()) {
            ++wrong;
            CHECK(certain <= model.floor());
        } else {
            ++right;
            CHECK_EQ(certain, model.floor());
            CHECK(held(candidates) == model.survivors());
        }
    }
    CHECK(right > 50);
    CHECK(wrong > 50);
}

/// A bound that overflowed must not take the pair with it.
TEST(nan_bounds_stay) {
    Candidates candidates(2);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    push(candidates, {nan, kNone, 0}, 2);
    for (Id row = 1; row < 300; ++row) {
        push(candidates, {static_cast<float>(row), static_cast<float>(row), row}, 2);
    }
    candidates.trim();
    const std::vector<Id> rows = held(candidates);
    CHECK(rows == std::vector<Id>({0, 298, 299}));
}

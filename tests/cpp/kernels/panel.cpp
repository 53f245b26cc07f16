// Row and panel kernels against double loops over the formula in kernels/table.h: every count, every
// number of groups and terms, extreme codes, and no byte touched beyond what that header allows.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/types.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"
#include "kernels/values.h"

using nearfield::Random;
using nearfield::kernels::KernelTable;
using nearfield::kernels::kGroup;
using nearfield::kernels::kHitSlack;
using nearfield::kernels::kPanelLanes;
using nearfield::kernels::PanelArgs;
using nearfield::kernels::PanelHits;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Hit {
    std::size_t row;
    std::size_t lane;
    float upper;
};

using PanelKernel = std::size_t (*)(const PanelArgs&, const PanelHits&) noexcept;

/// The one place that knows how kernels report hits; the room for them ends at a guard page.
std::vector<Hit> run(PanelKernel kernel, const PanelArgs& args) {
    const std::size_t room = args.count * args.groups * kGroup + kHitSlack;
    guarded::Arena uppers(room * sizeof(float));
    guarded::Arena pairs(room * sizeof(std::uint32_t));
    const PanelHits out{uppers.back<float>(room), pairs.back<std::uint32_t>(room)};
    const std::size_t n = kernel(args, out);
    CHECK(n <= room - kHitSlack);
    std::vector<Hit> hits;
    for (std::size_t i = 0; i < n; ++i) {
        hits.push_back({out.pair[i] / kPanelLanes, out.pair[i] % kPanelLanes, out.upper[i]});
    }
    return hits;
}

/// Everything a panel call reads, each array between guard pages.
struct Problem {
    std::size_t count, depth, stride, groups, terms;
    bool at_back;
    std::vector<std::unique_ptr<guarded::Arena>> arenas{};
    PanelArgs args{};
    std::uint8_t* rows = nullptr;
    std::uint8_t* panel = nullptr;
    void* init = nullptr;
    float* scale = nullptr;
    float* row_term[2] = {};
    float* lane_term[2] = {};
    float* threshold = nullptr;

    template <class T>
    T* make(std::size_t n) {
        arenas.push_back(std::make_unique<guarded::Arena>(n * sizeof(T)));
        return arenas.back()->at<T>(at_back, n);
    }
    std::size_t lanes() const { return groups * kGroup; }

    void allocate() {
        rows = make<std::uint8_t>((count - 1) * stride + depth);
        panel = make<std::uint8_t>(lanes() * depth);
        init = make<std::int32_t>(lanes());
        scale = make<float>(count);
        for (std::size_t t = 0; t < terms; ++t) {
            row_term[t] = make<float>(count);
            lane_term[t] = make<float>(lanes());
        }
        threshold = make<float>(lanes());
        args.rows = rows;
        args.stride = stride;
        args.count = count;
        args.depth = depth;
        args.panel = panel;
        args.groups = groups;
        args.init = init;
        args.scale = scale;
        for (std::size_t t = 0; t < terms; ++t) {
            args.row_term[t] = row_term[t];
            args.lane_term[t] = lane_term[t];
        }
        args.terms = terms;
        args.threshold = threshold;
    }

    /// Four bytes of query `lane` from byte k on.
    std::uint8_t* word(std::size_t lane, std::size_t k) const {
        return panel + lane / kGroup * depth * kGroup + k / 4 * 4 * kGroup + lane % kGroup * 4;
    }
};

void draw_epilogue(Problem& p, Random& random) {
    for (std::size_t i = 0; i < p.count; ++i) {
        p.scale[i] = 0.25f + random.uniform_float();
        for (std::size_t t = 0; t < p.terms; ++t) p.row_term[t][i] = values::gaussian(random);
    }
    for (std::size_t j = 0; j < p.lanes(); ++j) {
        for (std::size_t t = 0; t < p.terms; ++t) p.lane_term[t][j] = values::gaussian(random) * 50;
    }
}

struct Expected {
    std::vector<double> upper;      // count x lanes
    std::vector<double> tolerance;  // zero: the same bits
};

/// raw: scores before the epilogue, with their own tolerance.
Expected epilogue(const Problem& p, const std::vector<double>& raw, double raw_share,
                  const std::vector<double>& raw_magnitude) {
    Expected out;
    for (std::size_t i = 0; i < p.count; ++i) {
        for (std::size_t j = 0; j < p.lanes(); ++j) {
            const std::size_t at = i * p.lanes() + j;
            const auto s = static_cast<double>(p.scale[i]);
            double value = raw[at] * s;
            double size = std::fabs(value);
            for (std::size_t t = 0; t < p.terms; ++t) {
                const double term = static_cast<double>(p.row_term[t][i]) * p.lane_term[t][j];
                value += term;
                size += std::fabs(term);
            }
            const bool exact = p.terms == 0 && raw_share == 0.0;
            if (exact) value = static_cast<float>(raw[at]) * p.scale[i];
            out.upper.push_back(value);
            out.tolerance.push_back(exact ? 0.0
                                          : size * 0x1p-22 + raw_share * raw_magnitude[at] * s);
        }
    }
    return out;
}

/// Every pair at or above its lane's threshold once, none clearly below, bounds as expected.
void check_hits(const Problem& p, const Expected& expected, const std::vector<Hit>& hits) {
    std::vector<bool> seen(p.count * p.lanes());
    for (const Hit& hit : hits) {
        CHECK(hit.row < p.count && hit.lane < p.lanes());
        const std::size_t at = hit.row * p.lanes() + hit.lane;
        CHECK(!seen[at]);
        seen[at] = true;
        const double off = std::fabs(static_cast<double>(hit.upper) - expected.upper[at]);
        CHECK(off <= expected.tolerance[at]);
        CHECK(!(hit.upper < p.threshold[hit.lane]));
    }
    for (std::size_t at = 0; at < seen.size(); ++at) {
        const auto threshold = static_cast<double>(p.threshold[at % p.lanes()]);
        if (expected.upper[at] - expected.tolerance[at] >= threshold) CHECK(seen[at]);
        if (expected.upper[at] + expected.tolerance[at] < threshold) CHECK(!seen[at]);
    }
}

/// All thresholds of a problem: nothing, everything, exact values of pairs, a mixture.
void check_thresholds(Problem& p, const Expected& expected, PanelKernel kernel, Random& random) {
    for (int round = 0; round < 4; ++round) {
        for (std::size_t j = 0; j < p.lanes(); ++j) {
            const std::size_t row = random.below(p.count);
            const auto value = static_cast<float>(expected.upper[row * p.lanes() + j]);
            const float choice[3] = {-kInfinity, value, kInfinity};
            p.threshold[j] = choice[round < 3 ? static_cast<std::size_t>(round) : random.below(3)];
        }
        const std::vector<Hit> hits = run(kernel, p.args);
        if (round == 0) CHECK_EQ(hits.size(), p.count * p.lanes());
        if (round == 2) CHECK(hits.empty());
        check_hits(p, expected, hits);
    }
}

std::int8_t draw_code(Random& random, int limit, int pattern) {
    if (pattern == 1) return static_cast<std::int8_t>(limit);
    if (pattern == 2) return static_cast<std::int8_t>(-limit - 1);
    if (pattern == 3) return static_cast<std::int8_t>(random.below(2) == 0 ? limit : -limit - 1);
    return static_cast<std::int8_t>(
        static_cast<int>(random.below(static_cast<std::uint64_t>(2 * limit + 2))) - limit - 1);
}

/// pattern 0: random bytes; 1-3: all 255 against extreme codes, where 16-bit sums would saturate.
void check_bytes(const KernelTable& table, Problem p, int pattern, Random& random) {
    p.allocate();
    draw_epilogue(p, random);
    const std::size_t bytes = (p.count - 1) * p.stride + p.depth;
    for (std::size_t k = 0; k < bytes; ++k) {
        p.rows[k] = pattern == 0 ? static_cast<std::uint8_t>(random.next()) : std::uint8_t{255};
    }
    auto* init = static_cast<std::int32_t*>(p.init);
    for (std::size_t j = 0; j < p.lanes(); ++j) {
        init[j] = static_cast<std::int32_t>(random.below(1U << 20)) - (1 << 19);
        for (std::size_t k = 0; k < p.depth; ++k) {
            const std::int8_t code = draw_code(random, table.query_limit, pattern);
            std::memcpy(p.word(j, k) + k % 4, &code, 1);
        }
    }
    std::vector<double> raw;
    for (std::size_t i = 0; i < p.count; ++i) {
        for (std::size_t j = 0; j < p.lanes(); ++j) {
            std::int64_t sum = init[j];
            for (std::size_t k = 0; k < p.depth; ++k) {
                std::int8_t code;
                std::memcpy(&code, p.word(j, k) + k % 4, 1);
                sum += std::int64_t{p.rows[i * p.stride + k]} * code;
            }
            raw.push_back(static_cast<double>(sum));
        }
    }
    check_thresholds(p, epilogue(p, raw, 0.0, raw), table.panel_u8, random);
}

std::uint16_t narrow(float x) { return static_cast<std::uint16_t>(values::bits(x) >> 16); }

void check_halves(const KernelTable& table, Problem p, Random& random) {
    p.allocate();
    draw_epilogue(p, random);
    const std::size_t bytes = (p.count - 1) * p.stride + p.depth;
    for (std::size_t k = 0; k + 2 <= bytes; k += 2) {
        const std::uint16_t half = narrow(values::gaussian(random));
        std::memcpy(p.rows + k, &half, 2);
    }
    auto* init = static_cast<float*>(p.init);
    for (std::size_t j = 0; j < p.lanes(); ++j) {
        init[j] = values::gaussian(random);
        for (std::size_t k = 0; k < p.depth; k += 2) {
            const std::uint16_t half = narrow(values::gaussian(random));
            std::memcpy(p.word(j, k) + k % 4, &half, 2);
        }
    }
    std::vector<double> raw;
    std::vector<double> magnitude;
    for (std::size_t i = 0; i < p.count; ++i) {
        for (std::size_t j = 0; j < p.lanes(); ++j) {
            double sum = init[j];
            double size = std::fabs(sum);
            for (std::size_t k = 0; k < p.depth; k += 2) {
                std::uint16_t a, b;
                std::memcpy(&a, p.rows + i * p.stride + k, 2);
                std::memcpy(&b, p.word(j, k) + k % 4, 2);
                const double term =
                    static_cast<double>(values::wide_bf16(a)) * values::wide_bf16(b);
                sum += term;
                size += std::fabs(term);
            }
            raw.push_back(sum);
            magnitude.push_back(size);
        }
    }
    const double share = static_cast<double>(p.depth / 2 + 8) * 0x1p-23;
    check_thresholds(p, epilogue(p, raw, share, magnitude), table.panel_bf16, random);
}

std::vector<std::size_t> counts() {
    std::vector<std::size_t> all{256};
    for (std::size_t n = 1; n <= 70; ++n) all.push_back(n);
    return all;
}

}  // namespace

TEST_LEVELS(byte_panels) {
    Random random(21);
    int turn = 0;
    for (const std::size_t count : counts()) {
        for (std::size_t groups = 1; groups <= 4; ++groups) {
            // Depths, strides, terms and placements take turns; each meets every count and group.
            const std::size_t depth = 64 * (1 + static_cast<std::size_t>(turn) % 3);
            const std::size_t strides[4] = {depth, 4, depth + 64, 28};
            const std::size_t stride = strides[static_cast<std::size_t>(turn) / 3 % 4];
            for (std::size_t terms = 0; terms <= 2; ++terms) {
                check_bytes(table, {count, depth, stride, groups, terms, turn % 2 == 0}, 0, random);
                ++turn;
            }
        }
    }
}

TEST_LEVELS(byte_panels_at_the_extremes) {
    Random random(22);
    for (int pattern = 1; pattern <= 3; ++pattern) {
        for (const std::size_t count : {std::size_t{1}, std::size_t{37}, std::size_t{256}}) {
            check_bytes(table, {count, 1024, 1024, 4, 0, true}, pattern, random);
            check_bytes(table, {count, 64, 64, 3, 1, false}, pattern, random);
        }
    }
}

TEST_LEVELS(bfloat16_panels) {
    Random random(23);
    int turn = 0;
    for (const std::size_t count : counts()) {
        for (std::size_t groups = 1; groups <= 4; ++groups) {
            const std::size_t depth = 64 * (1 + static_cast<std::size_t>(turn) % 3);
            const std::size_t stride = turn % 4 == 1 ? 8 : depth + (turn % 4 == 2 ? 64 : 0);
            const auto terms = static_cast<std::size_t>(turn) % 3;
            check_halves(table, {count, depth, stride, groups, terms, turn % 2 == 0}, random);
            ++turn;
        }
    }
}

/// A score that overflows to NaN must not be lost.
TEST_LEVELS(bfloat16_panels_report_nan) {
    for (const std::size_t count : {std::size_t{1}, std::size_t{33}, std::size_t{64}}) {
        Problem p{count, 64, 64, 2, 1, true};
        p.allocate();
        std::memset(p.rows, 0, count * 64);
        std::memset(p.panel, 0, p.lanes() * 64);
        for (std::size_t j = 0; j < p.lanes(); ++j) {
            static_cast<float*>(p.init)[j] = 3e38f;
            p.lane_term[0][j] = j == 5 ? -kInfinity : 0.0f;
            p.threshold[j] = kInfinity;
        }
        for (std::size_t i = 0; i < count; ++i) {
            p.scale[i] = i % 3 == 0 ? 4.0f : 1.0f;  // infinity every third row
            p.row_term[0][i] = 4.0f;
        }
        std::size_t reported = 0;
        for (const Hit& hit : run(table.panel_bf16, p.args)) {
            CHECK_EQ(hit.row % 3, 0U);
            reported += hit.lane == 5 ? 1U : 0U;
        }
        CHECK_EQ(reported, (count + 2) / 3);
    }
}

TEST_LEVELS(byte_rows) {
    Random random(24);
    for (const std::size_t count : counts()) {
        for (const std::size_t depth : {std::size_t{64}, std::size_t{128}, std::size_t{832}}) {
            for (const std::size_t stride : {depth, std::size_t{4}, depth + 64}) {
                const bool at_back = (count + depth / 64) % 2 == 0;
                const std::size_t bytes = (count - 1) * stride + depth;
                guarded::Arena row_memory(bytes), query_memory(depth), out_memory(count * 4);
                auto* rows = row_memory.at<std::uint8_t>(at_back, bytes);
                auto* q = query_memory.at<std::int8_t>(at_back, depth);
                auto* out = out_memory.at<std::int32_t>(at_back, count);
                const int pattern = static_cast<int>(random.below(4));
                for (std::size_t k = 0; k < bytes; ++k) {
                    rows[k] =
                        pattern == 0 ? static_cast<std::uint8_t>(random.next()) : std::uint8_t{255};
                }
                for (std::size_t k = 0; k < depth; ++k) {
                    q[k] = draw_code(random, table.query_limit, pattern);
                }
                const auto init = static_cast<std::int32_t>(random.below(1U << 20)) - (1 << 19);
                table.rows_u8(rows, stride, count, q, depth, init, out);
                for (std::size_t i = 0; i < count; ++i) {
                    std::int32_t sum = init;
                    for (std::size_t k = 0; k < depth; ++k) sum += rows[i * stride + k] * q[k];
                    CHECK_EQ(out[i], sum);
                }
            }
        }
    }
}

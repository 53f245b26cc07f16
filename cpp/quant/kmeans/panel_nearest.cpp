#include "quant/kmeans/panel_nearest.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/parallel.h"
#include "kernels/resolve.h"
#include "quant/raw/scan.h"

namespace nearfield {
namespace {

using kernels::kPanelLanes;

/// A centroid that may be the nearest one of a row of the block.
struct Left {
    std::uint32_t row;
    Id centroid;
    float upper;  // of its score, in units
};

/// Bounds of a score, in units.
struct Interval {
    float lower;
    float upper;
};

/// What one block of rows needs while it is searched; one per worker.
struct Scratch {
    HitBuffer hits;
    PanelMargins margins;
    alignas(64) float minus_floor[kBlockRows];
    alignas(64) float reach[kBlockRows];  // a bound of |x| that holds for its code as well
    float best[kBlockRows];               // largest lower bound so far
    Interval own[kBlockRows];             // score of the guess
    std::uint32_t count[kBlockRows];
    std::vector<Left> left;
};

/// The search of one block.
class BlockSearch {
public:
    BlockSearch(const EncodedRows& codes, const double* squared, const float* doubt,
                MatrixView<float> rows, const Centroids& centroids, const CentroidPanels& panels,
                std::size_t block, Scratch& scratch)
        : codes_(codes),
          squared_(squared),
          doubt_(doubt),
          rows_(rows),
          centroids_(centroids),
          panels_(panels),
          first_(block * kBlockRows),
          count_(std::min(kBlockRows, rows.rows - first_)),
          error_(codes.error(block)),
          s_(scratch) {
        for (std::size_t i = 0; i < count_; ++i) {
            s_.reach[i] = codes.scale()[first_ + i] * (error_.code_norm + error_.residual);
            if (codes.spec().kind == ScanKind::kBF16) s_.reach[i] = 2 * codes.spread()[first_ + i];
        }
        s_.left.clear();
    }

    /// Floors from the scores of the centroids that `nearest` names.
    void start_from(const Id* nearest) {
        for (std::size_t i = 0; i < count_; ++i) {
            if (i + 4 < count_) prefetch(centroids_.rows.row(nearest[first_ + i + 4]));
            s_.own[i] = score(i, nearest[first_ + i]);
            s_.best[i] = s_.own[i].lower;
        }
        lower_floors();
    }

    /// Floors from the best of the first centroids.
    void start_from_few() {
        for (std::size_t i = 0; i < count_; ++i) {
            const double least =
                static_cast<double>(s_.reach[i]) * panels_.largest() + panels_.largest_shortfall();
            s_.best[i] = static_cast<float>(-1.01 * least) - kEpilogueLoss;
        }
        lower_floors();
        scan(0, 1);
        s_.left.clear();
    }

    void scan_all() {
        for (std::size_t p = 0; p < panels_.count(); ++p) {
            if (p != 0) checkpoint();
            scan(p, kernels::kMaxGroups);
        }
    }

    /// Writes the nearest centroids and their keys; returns how many differ from before.
    std::size_t decide(bool guessed, Id* nearest, double* keys) {
        thin_out();
        narrow(guessed ? nearest + first_ : nullptr);
        thin_out();
        std::fill_n(best_id_, count_, kNone);
        for (const Left& l : s_.left) {
            Id& id = best_id_[l.row];
            if (s_.count[l.row] == 1) {
                id = l.centroid;
                continue;
            }
            const double candidate = key(l.row, l.centroid);
            const bool better = id == kNone || candidate > best_key_[l.row] ||
                                (candidate == best_key_[l.row] && l.centroid < id);
            if (!better) continue;
            id = l.centroid;
            best_key_[l.row] = candidate;
        }
        std::size_t changed = 0;
        for (std::size_t i = 0; i < count_; ++i) {
            changed += static_cast<std::size_t>(!guessed || nearest[first_ + i] != best_id_[i]);
            nearest[first_ + i] = best_id_[i];
            if (keys != nullptr) keys[first_ + i] = key(i, best_id_[i]);
        }
        return changed;
    }

private:
    static constexpr Id kNone = ~Id{0};

    static void prefetch(const float* c) noexcept {
        __builtin_prefetch(c);
        __builtin_prefetch(c + 16);
    }
    double key(std::size_t i, Id centroid) const noexcept {
        return exact_key(centroids_, rows_.row(first_ + i), centroid);
    }

    /// A score with its bounds: from float32 where the range of the data allows, else exact.
    Interval score(std::size_t i, Id centroid) const noexcept {
        const double unit = panels_.score_unit();
        const std::size_t dim = rows_.cols;
        double value = 0.0;
        double error = 0.0;
        if (fits_float32(unit)) {
            const float product = kernels::active().dot_f32(rows_.row(first_ + i),
                                                            centroids_.rows.row(centroid), dim);
            value = static_cast<double>(product) * unit - panels_.exact_shortfall(centroid);
            error = static_cast<double>(doubt_[first_ + i]) * panels_.length(centroid) +
                    static_cast<double>(dim) * 0x1p-125 * unit;
        } else {
            const double exact = key(i, centroid);
            const double x = centroids_.spherical ? 0.0 : squared_[first_ + i];
            value = (centroids_.spherical ? exact : 0.5 * (x + exact)) * unit;
            error = (x * unit + panels_.length(centroid) * panels_.length(centroid)) * 0x1p-40;
        }
        // Rounding to float32, and of the float64 keys that decide in the end.
        const double reach = static_cast<double>(s_.reach[i]);
        error += std::fabs(value) * 0x1p-23 + reach * reach * 0x1p-40 + 0x1p-110;
        return {static_cast<float>(value - error), static_cast<float>(value + error)};
    }

    /// Products of these units neither overflow nor lose to underflow what `score` does not cover.
    static bool fits_float32(double unit) noexcept { return unit >= 0x1p-60 && unit <= 0x1p60; }

    void lower_floors() noexcept {
        for (std::size_t i = 0; i < count_; ++i) {
            const float slack =
                (s_.reach[i] * s_.reach[i] + std::fabs(s_.best[i])) * kEpilogueShare;
            s_.minus_floor[i] = slack + kEpilogueLoss - s_.best[i];
        }
    }

    /// One panel: appends what reaches the floors, then raises them.
    void scan(std::size_t panel, std::size_t most_groups) {
        panels_.margins(panel, error_, s_.margins);
        kernels::PanelArgs args{};
        panels_.set_lanes(panel, s_.margins, args);
        args.groups = std::min(args.groups, most_groups);
        args.rows = codes_.codes(first_);
        args.stride = codes_.stride();
        args.count = count_;
        args.scale = codes_.scale() + first_;
        if (args.terms == 2) args.row_term[0] = codes_.spread() + first_;
        args.row_term[args.terms - 1] = s_.minus_floor;
        const kernels::KernelTable& table = kernels::active();
        const bool bytes = codes_.spec().kind == ScanKind::kBytes;
        const std::size_t n =
            bytes ? table.panel_u8(args, s_.hits.hits()) : table.panel_bf16(args, s_.hits.hits());
        if (n == 0) return;
        collect(panel, n);
        lower_floors();
    }

    void collect(std::size_t panel, std::size_t n) {
        const float* step = panels_.step() + panel * kPanelLanes;
        const float* shortfall = panels_.shortfall() + panel * kPanelLanes;
        const float* spread = codes_.spread() + first_;
        for (std::size_t h = 0; h < n; ++h) {
            const auto i = static_cast<std::uint32_t>(s_.hits.pair[h] / kPanelLanes);
            const auto lane = static_cast<std::uint32_t>(s_.hits.pair[h] % kPanelLanes);
            const float floor = s_.minus_floor[i];
            const float score = s_.hits.upper[h] * step[lane] - floor - shortfall[lane];
            const float rounding = (s_.reach[i] * s_.reach[i] + std::fabs(floor) +
                                    4 * std::fabs(shortfall[lane]) + std::fabs(score)) *
                                       kEpilogueShare +
                                   kEpilogueLoss;
            const float upper = score + rounding;
            const float lower = score - s_.margins.width[lane] * spread[i] - rounding;
            s_.left.push_back({i, static_cast<Id>(panel * kPanelLanes + lane), upper});
            if (lower > s_.best[i]) s_.best[i] = lower;
        }
    }

    /// Replaces the bounds of rows with a choice by those of float32 scores. nearest: the guesses.
    void narrow(const Id* nearest) {
        for (Left& l : s_.left) {
            if (s_.count[l.row] == 1) continue;
            const bool is_own = nearest != nullptr && nearest[l.row] == l.centroid;
            const Interval score = is_own ? s_.own[l.row] : this->score(l.row, l.centroid);
            l.upper = score.upper;
            s_.best[l.row] = std::max(s_.best[l.row], score.lower);
        }
    }

    /// Drops what the floors exclude and counts the rest by row.
    void thin_out() {
        std::fill_n(s_.count, count_, 0U);
        std::size_t n = 0;
        for (const Left& l : s_.left) {
            if (l.upper < s_.best[l.row]) continue;  // NaN stays
            s_.left[n++] = l;
            ++s_.count[l.row];
        }
        s_.left.resize(n);
    }

    const EncodedRows& codes_;
    const double* squared_;
    const float* doubt_;
    MatrixView<float> rows_;
    const Centroids& centroids_;
    const CentroidPanels& panels_;
    std::size_t first_;
    std::size_t count_;
    BlockError error_;
    Scratch& s_;
    Id best_id_[kBlockRows];
    double best_key_[kBlockRows];
};

}  // namespace

PanelNearest::PanelNearest(MatrixView<float> rows, std::vector<double> squared, double largest,
                           int threads)
    : rows_(rows), squared_(std::move(squared)), codes_(rows, largest, threads), doubt_(rows.rows) {
    const double share = static_cast<double>(rows.cols / 32 + 9) * 0x1p-24 * codes_.spec().unit;
    for (std::size_t i = 0; i < rows.rows; ++i) {
        doubt_[i] = static_cast<float>(std::sqrt(squared_[i]) * share * (1.0 + 0x1p-20));
    }
}

std::size_t PanelNearest::find(const Centroids& centroids, bool guessed, Id* nearest, double* keys,
                               int threads) {
    const CentroidPanels panels(codes_.spec(), centroids, threads);
    const std::size_t blocks = (rows_.rows + kBlockRows - 1) / kBlockRows;
    std::vector<Scratch> scratch(static_cast<std::size_t>(max_workers(threads)));
    std::vector<std::size_t> changed(blocks);
    parallel_for(blocks, threads, [&](std::size_t block, int worker) {
        BlockSearch search(codes_, squared_.data(), doubt_.data(), rows_, centroids, panels, block,
                           scratch[static_cast<std::size_t>(worker)]);
        if (guessed) {
            search.start_from(nearest);
        } else {
            search.start_from_few();
        }
        search.scan_all();
        changed[block] = search.decide(guessed, nearest, keys);
    });
    std::size_t total = 0;
    for (const std::size_t c : changed) total += c;
    return total;
}

}  // namespace nearfield

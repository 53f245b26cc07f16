// CentroidPanels: all centroids packed for the panel kernels, and per row a floor instead of the lanes'.
//
// For the search of one iteration the centroids are the lanes, 64 side by side, and the rows stay as they
// were encoded. What is wanted of centroid c is S = <x,c> - |c|^2 / 2 (spherical: <x,c>; both less half
// the price), and only where S reaches the row's floor F. In units of the lane's step t the kernels
// compute
//     upper = s * (<p,c> + margin) - F * (1 / t)         compared with    (|c|^2 / 2) / t:
// the floor is the row term, 1 / t the lane term, and what belongs to the centroid alone the threshold.
// Margins are those of quant/raw/query.h with the roles of both sides exchanged.
// Slack for the float32 epilogue: |x| |c| <= (|x|^2 + |c|^2) / 2, the first half is in the floor, the
// second in the threshold. Source: own; docs/accuracy.md has the margins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "kernels/table.h"
#include "quant/kmeans/nearest.h"
#include "quant/raw/codes.h"

namespace nearfield {

/// Share of |x|^2 or |c|^2 that covers float32 roundings of the epilogue, with room.
inline constexpr float kEpilogueShare = 0x1p-18f;
/// What underflow of the epilogue may lose, in units.
inline constexpr float kEpilogueLoss = 0x1p-100f;

/// Margins of one panel over one block of rows.
struct PanelMargins {
    alignas(64) std::int32_t init[kernels::kPanelLanes];
    alignas(64) float margin[kernels::kPanelLanes];
    /// upper - lower in the row's spread, times the lane's step.
    alignas(64) float width[kernels::kPanelLanes];
};

class CentroidPanels {
public:
    /// spec: that of the rows; its unit is that of centroids as well, unless scores are inner products.
    CentroidPanels(const CodeSpec& spec, const Centroids& centroids, int threads);

    std::size_t count() const noexcept { return panels_; }
    std::size_t lanes(std::size_t panel) const noexcept {
        const std::size_t left = k_ - panel * kernels::kPanelLanes;
        return left < kernels::kPanelLanes ? left : kernels::kPanelLanes;
    }
    void margins(std::size_t panel, const BlockError& error, PanelMargins& out) const noexcept;

    /// Fills what belongs to the panel: its codes, thresholds and lane term.
    void set_lanes(std::size_t panel, const PanelMargins& margins,
                   kernels::PanelArgs& args) const noexcept;

    const float* step() const noexcept { return step_.as<float>(); }
    /// What a centroid's score lacks: half its squared norm and price, in units.
    const float* shortfall() const noexcept { return shortfall_.as<float>(); }
    /// The same before rounding, and |c|.
    double exact_shortfall(std::size_t j) const noexcept { return exact_shortfall_[j]; }
    double length(std::size_t j) const noexcept { return length_[j]; }
    /// An upper bound of |c|, in units.
    double largest() const noexcept { return largest_; }
    /// An upper bound of every shortfall.
    double largest_shortfall() const noexcept { return largest_shortfall_; }
    /// Units of <x,c> and of half a squared distance, as a factor of the user's.
    double score_unit() const noexcept { return spec_.unit * unit_; }

private:
    void pack(const Centroids& centroids, const std::vector<bool>& skip, std::size_t panel);

    CodeSpec spec_;
    double unit_;  // of the centroids
    std::size_t k_;
    std::size_t panels_;
    std::size_t depth_;
    Buffer packed_;
    // One entry per lane of every panel.
    Buffer code_error_, norm_, step_, inverse_step_, threshold_, shortfall_, zero_share_;
    std::vector<double> exact_shortfall_, length_;
    double largest_ = 0.0;
    double largest_shortfall_ = 0.0;
};

}  // namespace nearfield

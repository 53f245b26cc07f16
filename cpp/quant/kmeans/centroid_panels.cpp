#include "quant/kmeans/centroid_panels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/parallel.h"
#include "quant/raw/exact.h"
#include "quant/raw/kinds.h"

namespace nearfield {

using kernels::kGroup;
using kernels::kPanelLanes;

CentroidPanels::CentroidPanels(const CodeSpec& spec, const Centroids& centroids, int threads)
    : spec_(spec),
      unit_(centroids.spherical ? unit_of(centroids) : spec.unit),
      k_(centroids.rows.rows),
      panels_((k_ + kPanelLanes - 1) / kPanelLanes),
      depth_(code_depth(spec)),
      packed_(panels_ * kPanelLanes * depth_),
      exact_shortfall_(k_),
      length_(k_) {
    const std::size_t bytes = panels_ * kPanelLanes * sizeof(float);
    for (Buffer* each :
         {&code_error_, &norm_, &step_, &inverse_step_, &threshold_, &shortfall_, &zero_share_}) {
        each->resize(bytes);
    }
    // Lanes without a centroid never pass.
    std::fill_n(threshold_.as<float>(), panels_ * kPanelLanes,
                std::numeric_limits<float>::infinity());
    const std::vector<bool> skip = repeated(centroids);
    parallel_for(panels_, threads, [&](std::size_t p, int) { pack(centroids, skip, p); });
    for (std::size_t j = 0; j < k_; ++j) {
        largest_ = std::max(largest_, length_[j]);
        largest_shortfall_ = std::max(largest_shortfall_, std::fabs(exact_shortfall_[j]));
    }
    largest_ *= kUp;
}

void CentroidPanels::pack(const Centroids& centroids, const std::vector<bool>& skip,
                          std::size_t panel) {
    std::vector<double> scaled(spec_.dim);
    std::vector<std::int8_t> code(depth_);
    CodeSpec spec = spec_;
    spec.metric = Metric::kL2;  // steps are kept in a range where 1 / step is finite
    std::uint8_t* const packed = packed_.data() + panel * kPanelLanes * depth_;
    for (std::size_t lane = 0; lane < lanes(panel); ++lane) {
        const std::size_t j = panel * kPanelLanes + lane;
        const float* c = centroids.rows.row(j);
        double squared = 0.0;
        for (std::size_t k = 0; k < spec.dim; ++k) {
            scaled[k] = static_cast<double>(c[k]) * unit_;
            squared += scaled[k] * scaled[k];
        }
        const double norm = std::sqrt(squared);
        const QueryConstants q = spec.kind == ScanKind::kBytes
                                     ? quantise_bytes(spec, scaled.data(), norm, code.data())
                                     : quantise_halves(spec, scaled.data(), norm, code.data());
        const double price = centroids.price.empty() ? 0.0 : centroids.price[j];
        const double missing =
            centroids.spherical ? price * score_unit() : 0.5 * (squared + price * score_unit());
        code_error_.as<float>()[j] = q.code_error;
        norm_.as<float>()[j] = q.norm;
        zero_share_.as<std::int32_t>()[j] = q.zero_share;
        step_.as<float>()[j] = static_cast<float>(q.step);
        inverse_step_.as<float>()[j] = static_cast<float>(1.0 / q.step);
        length_[j] = norm;
        exact_shortfall_[j] = missing;
        shortfall_.as<float>()[j] = static_cast<float>(missing);
        const double slack = (squared + std::fabs(missing)) * static_cast<double>(kEpilogueShare);
        if (!skip[j]) threshold_.as<float>()[j] = static_cast<float>((missing - slack) / q.step);
        std::uint8_t* to = packed + lane / kGroup * depth_ * kGroup + lane % kGroup * 4;
        for (std::size_t k = 0; k < depth_; k += 4) {
            std::memcpy(to + k * kGroup, code.data() + k, 4);
        }
    }
}

void CentroidPanels::margins(std::size_t panel, const BlockError& error,
                             PanelMargins& out) const noexcept {
    const std::size_t first = panel * kPanelLanes;
    const float* code_error = code_error_.as<float>() + first;
    const float* norm = norm_.as<float>() + first;
    const float* steps = step() + first;
    const std::int32_t* zero_share = zero_share_.as<std::int32_t>() + first;
    const bool bytes = spec_.kind == ScanKind::kBytes;
    for (std::size_t lane = 0; lane < kPanelLanes; ++lane) {
        const float sum = code_error[lane] * error.code_norm + norm[lane] * error.residual;
        if (bytes) {
            // Truncation and + 1 round up, and cover the rounding of the sum above.
            const std::int32_t whole = sum > 0.0f ? static_cast<std::int32_t>(sum) + 1 : 0;
            out.init[lane] = zero_share[lane] + whole;
            out.width[lane] = static_cast<float>(2 * whole) * steps[lane];
        } else {
            out.init[lane] = 0;
            out.margin[lane] = sum * static_cast<float>(kUp);
            out.width[lane] = 2.0f * out.margin[lane] * steps[lane];
        }
    }
}

void CentroidPanels::set_lanes(std::size_t panel, const PanelMargins& margins,
                               kernels::PanelArgs& args) const noexcept {
    const std::size_t first = panel * kPanelLanes;
    args.depth = depth_;
    args.panel = packed_.data() + first * depth_;
    args.groups = (lanes(panel) + kGroup - 1) / kGroup;
    args.init = margins.init;
    args.threshold = threshold_.as<float>() + first;
    args.terms = 0;
    if (spec_.kind == ScanKind::kBF16) args.lane_term[args.terms++] = margins.margin;
    args.lane_term[args.terms++] = inverse_step_.as<float>() + first;
}

}  // namespace nearfield

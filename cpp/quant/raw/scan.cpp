#include "quant/raw/scan.h"

#include "kernels/resolve.h"

namespace nearfield {
namespace {

std::size_t scan_lane(const CodeView& view, std::size_t first, std::size_t count,
                      const QueryPanel& panel, std::size_t lane, const kernels::PanelHits& hits,
                      std::size_t n) {
    alignas(64) std::int32_t raw[kBlockRows];
    kernels::active().rows_u8(view.codes + first * view.stride, view.stride, count,
                              panel.codes(lane), panel.depth(), panel.init()[lane], raw);
    const float threshold = panel.threshold()[lane];
    const float tilt = panel.tilt()[lane];
    alignas(64) float upper[kBlockRows];
    const float* scale = view.scale + first;
    if (view.bias != nullptr) {
        const float* bias = view.bias + first;
        for (std::size_t i = 0; i < count; ++i) {
            upper[i] = static_cast<float>(raw[i]) * scale[i] + bias[i] * tilt;
        }
    } else {
        for (std::size_t i = 0; i < count; ++i) upper[i] = static_cast<float>(raw[i]) * scale[i];
    }
    for (std::size_t i = 0; i < count; ++i) {
        // Branch-free: the slot is overwritten unless the pair passes.
        hits.upper[n] = upper[i];
        hits.pair[n] = static_cast<std::uint32_t>(i * kernels::kPanelLanes + lane);
        n += static_cast<std::size_t>(!(upper[i] < threshold));
    }
    return n;
}

void add_term(kernels::PanelArgs& args, const float* row_term, const float* lane_term) {
    args.row_term[args.terms] = row_term;
    args.lane_term[args.terms] = lane_term;
    ++args.terms;
}

}  // namespace

HitBuffer::HitBuffer()
    : upper(kBlockRows * kernels::kPanelLanes + kernels::kHitSlack),
      pair(kBlockRows * kernels::kPanelLanes + kernels::kHitSlack) {}

std::size_t scan_rows(const CodeView& view, std::size_t first, std::size_t last,
                      const QueryPanel& panel, HitBuffer& buffer) {
    const std::size_t count = last - first;
    const kernels::PanelHits hits = buffer.hits();
    if (panel.is_scanned_by_rows()) {
        std::size_t n = 0;
        for (std::size_t lane = 0; lane < panel.count(); ++lane) {
            n = scan_lane(view, first, count, panel, lane, hits, n);
        }
        return n;
    }
    kernels::PanelArgs args{};
    args.rows = view.codes + first * view.stride;
    args.stride = view.stride;
    args.count = count;
    args.depth = panel.depth();
    args.panel = panel.packed();
    args.groups = panel.groups();
    args.init = panel.init();
    args.scale = view.scale + first;
    args.threshold = panel.threshold();
    const bool bytes = panel.kind() == ScanKind::kBytes;
    if (!bytes) add_term(args, view.spread + first, panel.margin());
    if (view.bias != nullptr) add_term(args, view.bias + first, panel.tilt());
    const kernels::KernelTable& table = kernels::active();
    return bytes ? table.panel_u8(args, hits) : table.panel_bf16(args, hits);
}

float widest(const CodeView& view, std::size_t first, std::size_t last, const QueryPanel& panel,
             const float* upper) noexcept {
    const auto max_abs = kernels::active().max_abs;
    const std::size_t n = last - first;
    float slack = max_abs(upper, n);  // infinity where one has overflowed
    if (view.bias != nullptr) {
        slack += (max_abs(view.bias + first, n) + 0x1p-126f) * panel.tilt()[0];
    }
    // Twice what lower_bound() allows for rounding.
    return panel.width(0) * max_abs(view.spread + first, n) * (1.0f + 0x1p-20f) + slack * 0x1p-17f +
           2.0f * static_cast<float>(panel.key_slack(0)) + 0x1p-117f;
}

}  // namespace nearfield

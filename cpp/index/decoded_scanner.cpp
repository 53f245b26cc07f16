#include "index/decoded_scanner.h"

#include <algorithm>

namespace nearfield {
namespace {

/// Panels that meet one decoded block: as many as stay in L2 beside it.
constexpr std::size_t kPanels = 16;

}  // namespace

DecodedScanner::DecodedScanner(const ListTask& task)
    : task_(task), spec_(decoded_spec(task.rows)), queries_(spec_, task.queries), block_(spec_) {}

void DecodedScanner::scan(std::size_t list, std::span<const std::uint32_t> members) {
    constexpr std::size_t kMost = kPanels * kernels::kPanelLanes;
    for (std::size_t m = 0; m < members.size(); m += kMost) {
        const auto now = members.subspan(m, std::min(kMost, members.size() - m));
        const std::size_t panels = (now.size() + kernels::kPanelLanes - 1) / kernels::kPanelLanes;
        while (packed_.size() < panels) packed_.push_back({QueryPanel(spec_), {}});
        const auto lanes_of = [&](std::size_t p) {
            const std::size_t first = p * kernels::kPanelLanes;
            return now.subspan(first, std::min(kernels::kPanelLanes, now.size() - first));
        };
        bool floors = true;
        for (std::size_t p = 0; p < panels; ++p) {
            const bool all =
                queries_.gather(task_, lanes_of(p), packed_[p].panel, packed_[p].lanes);
            floors = floors && all;
        }
        task_.for_each_piece(list, !floors, [&](std::size_t first, std::size_t last) {
            block_.fill(task_.rows, first, last);
            for (std::size_t p = 0; p < panels; ++p) {
                task_.collector.scan(
                    packed_[p].panel, {packed_[p].lanes, lanes_of(p).size()},
                    Stretch{block_.codes(), 0, last - first, first}, task_.keep,
                    [this](const Lane& lane) { task_.share_floor(lane.query - task_.first); });
            }
        });
    }
}

}  // namespace nearfield

#include "index/panel_scanner.h"

#include <algorithm>

namespace nearfield {

PanelQueries::PanelQueries(const CodeSpec& spec, MatrixView<float> queries) {
    for (std::size_t i = 0; i < queries.rows; i += kernels::kPanelLanes) {
        panels_.emplace_back(spec, queries.row(i), queries.stride / sizeof(float),
                             std::min(kernels::kPanelLanes, queries.rows - i));
    }
}

bool PanelQueries::gather(const ListTask& task, std::span<const std::uint32_t> members,
                          QueryPanel& panel, Lane* lanes) const {
    PanelLane from[kernels::kPanelLanes];
    for (std::size_t i = 0; i < members.size(); ++i) {
        from[i] = {&panel_of(members[i]), members[i] % kernels::kPanelLanes};
        lanes[i] = task.lane(members[i]);
    }
    panel.gather({from, members.size()});
    bool floors = true;
    for (std::size_t i = 0; i < members.size(); ++i) {
        task.share_floor(members[i]);
        panel.set_floor(i, lanes[i].found->floor());
        floors = floors && task.has_floor(members[i]);
    }
    return floors;
}

PanelScanner::PanelScanner(const ListTask& task)
    : task_(task), queries_(task.rows.codes.spec, task.queries), panel_(task.rows.codes.spec) {}

void PanelScanner::scan(std::size_t list, std::span<const std::uint32_t> members) {
    for (std::size_t m = 0; m < members.size(); m += kernels::kPanelLanes) {
        const auto now = members.subspan(m, std::min(kernels::kPanelLanes, members.size() - m));
        Lane lanes[kernels::kPanelLanes];
        const bool floors = queries_.gather(task_, now, panel_, lanes);
        task_.for_each_piece(list, !floors, [&](std::size_t first, std::size_t last) {
            task_.collector.scan(
                panel_, {lanes, now.size()}, first, last, task_.keep,
                [this](const Lane& lane) { task_.share_floor(lane.query - task_.first); });
        });
    }
}

}  // namespace nearfield

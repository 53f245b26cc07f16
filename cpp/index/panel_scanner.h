// PanelScanner: lists whose rows lie there as codes of their elements, against panels of queries.
//
// Cost of a pair: packing the query's codes (about dim / 4 moves), then dim byte products a row.
#pragma once

#include <vector>

#include "index/list_scanner.h"
#include "quant/raw/query.h"

namespace nearfield {

/// The queries of a group, coded once, and panels of those that want one list.
class PanelQueries {
public:
    PanelQueries(const CodeSpec& spec, MatrixView<float> queries);

    const QueryPanel& panel_of(std::size_t member) const noexcept {
        return panels_[member / kernels::kPanelLanes];
    }
    KeyUnits units(std::size_t member) const noexcept {
        return panel_of(member).units(member % kernels::kPanelLanes);
    }

    /// Packs up to kPanelLanes of them, with their candidates' floors. Returns whether all have one.
    bool gather(const ListTask& task, std::span<const std::uint32_t> members, QueryPanel& panel,
                Lane* lanes) const;

private:
    std::vector<QueryPanel> panels_;  // as the queries come, kPanelLanes each
};

class PanelScanner final : public ListScanner {
public:
    explicit PanelScanner(const ListTask& task);

    void scan(std::size_t list, std::span<const std::uint32_t> members) override;
    KeyUnits units(std::size_t member) const override { return queries_.units(member); }

private:
    ListTask task_;
    PanelQueries queries_;
    QueryPanel panel_;
};

}  // namespace nearfield

// DecodedScanner: lists of a quantizer's codes that many queries want: rows are decoded once for all of
// them and scanned by panels.
#pragma once

#include <vector>

#include "index/decoded_block.h"
#include "index/panel_scanner.h"

namespace nearfield {

class DecodedScanner final : public ListScanner {
public:
    explicit DecodedScanner(const ListTask& task);

    void scan(std::size_t list, std::span<const std::uint32_t> members) override;
    KeyUnits units(std::size_t member) const override { return queries_.units(member); }

private:
    struct Packed {
        QueryPanel panel;
        Lane lanes[kernels::kPanelLanes];
    };

    ListTask task_;
    CodeSpec spec_;
    PanelQueries queries_;
    DecodedBlock block_;
    std::vector<Packed> packed_;
};

}  // namespace nearfield

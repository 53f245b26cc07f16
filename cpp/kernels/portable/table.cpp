// The portable level: what the compiler's baseline gives.
#include "kernels/portable/table.h"

#include "kernels/generic/adapt.h"
#include "kernels/generic/fill.h"
#include "kernels/generic/lanes.h"
#include "kernels/generic/lookup.h"
#include "kernels/portable/gathered.h"
#include "kernels/portable/lanes.h"
#include "kernels/portable/panel.h"
#include "kernels/portable/rotated.h"
#include "kernels/portable/scan.h"
#include "kernels/portable/vec.h"

namespace nearfield::kernels {
namespace {

void rows_u8(const std::uint8_t* rows, std::size_t stride, std::size_t count, const std::int8_t* q,
             std::size_t depth, std::int32_t init, std::int32_t* out) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* row = rows + i * stride;
        std::int32_t sum = init;
        for (std::size_t k = 0; k < depth; ++k) sum += row[k] * q[k];
        out[i] = sum;
    }
}

}  // namespace

void fill_portable(KernelTable& table) noexcept {
    table.name = "portable";
    Dense<F64, F32>::fill(table);
    fill_lanes<Lane>(table);
    fill_lookup<Lane>(table);
    fill_adapt<Lane>(table);
    table.rows_u8 = rows_u8;
    table.panel_u8 = panel_scan<PanelU8>;
    table.panel_bf16 = panel_scan<PanelBF16>;
    table.scan_u4 = scan_u4<ScanScalar>;
    table.pack_planes = pack_planes;
    table.unpack_planes = unpack_planes;
    table.rows_u4 = rows_u4;
    table.gather_u8 = gather<GatherBytes>;
    table.gather_u4 = gather<GatherNibbles>;
    table.scan_signs = scan_signs;
    table.query_limit = 127;
}

}  // namespace nearfield::kernels

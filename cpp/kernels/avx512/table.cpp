// The AVX-512 level (F, BW, DQ, VL, VNNI: Ice Lake class and Zen 4).
#include "kernels/avx512/table.h"

#include "kernels/avx512/gathered.h"
#include "kernels/avx512/lanes.h"
#include "kernels/avx512/panel.h"
#include "kernels/avx512/rotated.h"
#include "kernels/avx512/rows.h"
#include "kernels/avx512/vec.h"
#include "kernels/generic/adapt.h"
#include "kernels/generic/fill.h"
#include "kernels/generic/lanes.h"
#include "kernels/generic/lookup.h"

namespace nearfield::kernels {

void fill_avx512(KernelTable& table) noexcept {
    table.name = "avx512";
    Dense<F64, F32>::fill(table);
    fill_lanes<Lane>(table);
    fill_lookup<Lane>(table);
    fill_adapt<Lane>(table);
    table.rows_u8 = rows_u8;
    table.panel_u8 = panel_scan<PanelU8>;
    table.panel_bf16 = panel_scan<PanelBF16>;
    table.pack_planes = pack_planes;
    table.unpack_planes = unpack_planes;
    table.rows_u4 = rows_u4;
    table.gather_u8 = gather<GatherBytes>;
    table.gather_u4 = gather<GatherNibbles>;
    table.scan_signs = scan_signs;
    table.query_limit = 127;
}

}  // namespace nearfield::kernels

// The AVX2 level (AVX2, FMA, F16C: Haswell class and Zen 1).
#include "kernels/avx2/table.h"

#include "kernels/avx2/gathered.h"
#include "kernels/avx2/lanes.h"
#include "kernels/avx2/panel.h"
#include "kernels/avx2/rotated.h"
#include "kernels/avx2/rows.h"
#include "kernels/avx2/scan.h"
#include "kernels/avx2/vec.h"
#include "kernels/generic/adapt.h"
#include "kernels/generic/fill.h"
#include "kernels/generic/lanes.h"
#include "kernels/generic/lookup.h"

namespace nearfield::kernels {

void fill_avx2(KernelTable& table) noexcept {
    table.name = "avx2";
    Dense<F64, F32>::fill(table);
    fill_lanes<Lane>(table);
    fill_lookup<Lane>(table);
    fill_adapt<Lane>(table);
    table.rows_u8 = rows_u8<DotMaddubs>;
    table.panel_u8 = panel_scan<PanelBytes<DotMaddubs>>;
    table.panel_bf16 = panel_scan<PanelBF16>;
    table.scan_u4 = scan_u4<ScanShuffle>;
    table.pack_planes = pack_planes;
    table.unpack_planes = unpack_planes;
    table.rows_u4 = rows_u4;
    table.gather_u8 = gather<GatherBytes>;
    table.gather_u4 = gather<GatherNibbles>;
    table.scan_signs = scan_signs;
    table.query_limit = 63;
}

}  // namespace nearfield::kernels

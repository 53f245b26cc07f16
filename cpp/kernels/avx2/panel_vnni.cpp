// Byte panels and rows on AVX2 CPUs with AVX-VNNI: 32-bit sums, so the full query range.
#include "kernels/avx2/gathered.h"
#include "kernels/avx2/panel.h"
#include "kernels/avx2/rows.h"
#include "kernels/avx2/table.h"

namespace nearfield::kernels {
namespace {

struct DotVnni {
    static __m256i add(__m256i acc, __m256i row, __m256i query) noexcept {
        // GCC 12 spills the accumulators around its own intrinsic.
        __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(row), "x"(query));
        return acc;
    }
};

}  // namespace

void fill_avx2_vnni(KernelTable& table) noexcept {
    table.rows_u8 = rows_u8<DotVnni>;
    table.panel_u8 = panel_scan<PanelBytes<DotVnni>>;
    table.gather_u8 = gather<GatherBytesDot<DotVnni>>;
    table.gather_u4 = gather<GatherNibblesDot<DotVnni>>;
    table.query_limit = 127;
}

}  // namespace nearfield::kernels

// The AMX level: the AVX-512 level with panels on int8 and bfloat16 tiles (Sapphire Rapids class).
#include "kernels/amx/table.h"

#include "kernels/amx/panel.h"

namespace nearfield::kernels {

void fill_amx(KernelTable& table) noexcept {
    table.name = "amx";
    table.panel_u8 = panel_tiles<TileU8>;
    table.panel_bf16 = panel_tiles<TileBF16>;
    table.bf16_price = 2;
}

}  // namespace nearfield::kernels

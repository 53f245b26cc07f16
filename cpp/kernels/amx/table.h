// The AMX level's door.
#pragma once

#include "kernels/table.h"

namespace nearfield::kernels {

/// Overrides the panels of a table that fill_avx512 has filled.
void fill_amx(KernelTable& table) noexcept;

}  // namespace nearfield::kernels

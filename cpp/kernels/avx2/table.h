// The AVX2 level's door.
#pragma once

#include "kernels/table.h"

namespace nearfield::kernels {

void fill_avx2(KernelTable& table) noexcept;
/// Overrides for CPUs that also have AVX-VNNI.
void fill_avx2_vnni(KernelTable& table) noexcept;

}  // namespace nearfield::kernels

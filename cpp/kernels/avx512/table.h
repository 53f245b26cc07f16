// The AVX-512 level's door.
#pragma once

#include "kernels/table.h"

namespace nearfield::kernels {

void fill_avx512(KernelTable& table) noexcept;
/// Overrides for CPUs that also have AVX512_BF16.
void fill_avx512_bf16(KernelTable& table) noexcept;
/// Overrides for CPUs that also have AVX512_VBMI.
void fill_avx512_vbmi(KernelTable& table) noexcept;

}  // namespace nearfield::kernels

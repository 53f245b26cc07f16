// What this CPU can do, asked once: instruction set levels and the features kernels choose by.
#pragma once

#include <string>
#include <vector>

namespace nearfield {

/// Levels in rising order; each includes the ones before it on x86-64.
enum class Isa { kPortable = 0, kAvx2 = 1, kAvx512 = 2, kAmx = 3 };

struct CpuFeatures {
    bool avx2 = false;      // AVX2 + FMA + F16C, and the OS saves ymm
    bool avx_vnni = false;  // 256-bit VNNI outside AVX-512
    bool avx512 = false;    // F, BW, DQ, VL, VNNI, and the OS saves zmm
    bool avx512_bf16 = false;
    bool avx512_vbmi = false;
    bool amx = false;  // tile, int8, bf16, and the kernel granted tile state
};

/// Features of this machine; asks the kernel for AMX permission at the first call.
const CpuFeatures& cpu_features();

const char* isa_name(Isa isa);

/// Levels this machine can run, lowest first.
std::vector<Isa> available_isas();

/// The level in use: NEARFIELD_ISA where set, else the highest available.
/// Throws std::invalid_argument for an unknown name or a level this CPU lacks.
Isa selected_isa();

}  // namespace nearfield

#include "base/cpu.h"

#include <cstdlib>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace nearfield {
namespace {

#if defined(__x86_64__)

struct CpuidLeaf {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidLeaf cpuid(unsigned leaf, unsigned subleaf) {
    CpuidLeaf r;
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

constexpr bool bit(unsigned word, int n) { return ((word >> n) & 1u) != 0; }

unsigned long long saved_state() {
    unsigned low = 0;
    unsigned high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<unsigned long long>(high) << 32) | low;
}

/// Linux hands out the 8 KiB of tile state only to processes that ask for it (arch_prctl(2)).
bool request_tile_permission() {
    constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

CpuFeatures detect() {
    CpuFeatures f;
    const CpuidLeaf basic = cpuid(1, 0);
    if (!bit(basic.ecx, 27)) return f;  // no OSXSAVE: wide registers are not saved
    const unsigned long long state = saved_state();
    const bool ymm = (state & 0x6u) == 0x6u;
    const bool zmm = ymm && (state & 0xe0u) == 0xe0u;
    const bool tiles = (state & 0x60000u) == 0x60000u;
    const CpuidLeaf seven = cpuid(7, 0);
    const CpuidLeaf seven_one = seven.eax >= 1 ? cpuid(7, 1) : CpuidLeaf{};
    f.avx2 = ymm && bit(seven.ebx, 5) && bit(basic.ecx, 12) && bit(basic.ecx, 29);
    f.avx_vnni = f.avx2 && bit(seven_one.eax, 4);
    f.avx512 = f.avx2 && zmm && bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) &&
               bit(seven.ebx, 31) && bit(seven.ecx, 11);
    f.avx512_bf16 = f.avx512 && bit(seven_one.eax, 5);
    f.avx512_vbmi = f.avx512 && bit(seven.ecx, 1);
    f.amx = f.avx512_bf16 && tiles && bit(seven.edx, 24) && bit(seven.edx, 25) &&
            bit(seven.edx, 22) && request_tile_permission();
    return f;
}

#else

CpuFeatures detect() { return {}; }

#endif

bool has(Isa isa) {
    const CpuFeatures& f = cpu_features();
    switch (isa) {
        case Isa::kPortable: return true;
        case Isa::kAvx2: return f.avx2;
        case Isa::kAvx512: return f.avx512;
        case Isa::kAmx: return f.amx;
    }
    return false;
}

constexpr Isa kAll[] = {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAmx};

}  // namespace

const CpuFeatures& cpu_features() {
    static const CpuFeatures features = detect();
    return features;
}

const char* isa_name(Isa isa) {
    switch (isa) {
        case Isa::kPortable: return "portable";
        case Isa::kAvx2: return "avx2";
        case Isa::kAvx512: return "avx512";
        case Isa::kAmx: return "amx";
    }
    return "?";
}

std::vector<Isa> available_isas() {
    std::vector<Isa> isas;
    for (const Isa isa : kAll) {
        if (has(isa)) isas.push_back(isa);
    }
    return isas;
}

Isa selected_isa() {
    const char* forced = std::getenv("NEARFIELD_ISA");
    if (forced == nullptr || *forced == '\0') return available_isas().back();
    for (const Isa isa : kAll) {
        if (std::string(forced) != isa_name(isa)) continue;
        if (has(isa)) return isa;
        throw std::invalid_argument(std::string("NEARFIELD_ISA=") + forced +
                                    ": this CPU or kernel lacks it; the highest level here is " +
                                    isa_name(available_isas().back()) +
                                    ". Unset NEARFIELD_ISA to use that.");
    }
    throw std::invalid_argument(std::string("NEARFIELD_ISA=") + forced +
                                ": expected portable, avx2, avx512 or amx");
}

}  // namespace nearfield

// Every table this machine can build, by name: the four levels and, where a CPU's extra features would
// hide a plainer version of a level, that version too. TEST_LEVELS(name) { ... table ... } registers one
// case per table; a case whose instructions this CPU lacks is a visible skip.
#pragma once

#include <string>

#include "base/cpu.h"
#include "check.h"
#include "kernels/portable/table.h"
#include "kernels/resolve.h"
#if defined(__x86_64__)
#include "kernels/avx2/table.h"
#include "kernels/avx512/table.h"
#endif

namespace levels {

using nearfield::Isa;
using nearfield::kernels::KernelTable;

inline const KernelTable& portable() { return nearfield::kernels::table_for(Isa::kPortable); }

inline KernelTable require(Isa isa) {
    for (const Isa have : nearfield::available_isas()) {
        if (have == isa) return nearfield::kernels::table_for(isa);
    }
    SKIP(std::string("this CPU lacks ") + nearfield::isa_name(isa));
}

/// AVX2 as on CPUs without AVX-VNNI.
inline KernelTable require_plain_avx2() {
    KernelTable table = require(Isa::kAvx2);
#if defined(__x86_64__)
    nearfield::kernels::fill_portable(table);
    nearfield::kernels::fill_avx2(table);
#endif
    return table;
}

/// AVX-512 as on CPUs without AVX512_BF16.
inline KernelTable require_plain_avx512() {
    KernelTable table = require(Isa::kAvx512);
#if defined(__x86_64__)
    nearfield::kernels::fill_portable(table);
    nearfield::kernels::fill_avx2(table);
    nearfield::kernels::fill_avx512(table);
#endif
    return table;
}

}  // namespace levels

#define TEST_LEVELS(name)                                                   \
    static void name(const nearfield::kernels::KernelTable& table);         \
    TEST(name##_portable) { name(levels::portable()); }                     \
    TEST(name##_avx2_plain) { name(levels::require_plain_avx2()); }         \
    TEST(name##_avx2) { name(levels::require(nearfield::Isa::kAvx2)); }     \
    TEST(name##_avx512_plain) { name(levels::require_plain_avx512()); }     \
    TEST(name##_avx512) { name(levels::require(nearfield::Isa::kAvx512)); } \
    TEST(name##_amx) { name(levels::require(nearfield::Isa::kAmx)); }       \
    static void name([[maybe_unused]] const nearfield::kernels::KernelTable& table)

#include "kernels/resolve.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/portable/table.h"
#if defined(__x86_64__)
#include "kernels/amx/table.h"
#include "kernels/avx2/table.h"
#include "kernels/avx512/table.h"
#endif

namespace nearfield::kernels {
namespace {

KernelTable build(Isa isa) {
    KernelTable table{};
    fill_portable(table);
#if defined(__x86_64__)
    const CpuFeatures& cpu = cpu_features();
    if (isa >= Isa::kAvx2) fill_avx2(table);
    if (isa == Isa::kAvx2 && cpu.avx_vnni) fill_avx2_vnni(table);
    if (isa >= Isa::kAvx512) fill_avx512(table);
    if (isa >= Isa::kAvx512 && cpu.avx512_bf16) fill_avx512_bf16(table);
    if (isa >= Isa::kAvx512 && cpu.avx512_vbmi) fill_avx512_vbmi(table);
    if (isa >= Isa::kAmx) fill_amx(table);
#endif
    return table;
}

template <Isa isa>
const KernelTable& built() {
    static const KernelTable table = build(isa);
    return table;
}

}  // namespace

const KernelTable& table_for(Isa isa) {
    const auto isas = available_isas();
    if (std::find(isas.begin(), isas.end(), isa) == isas.end()) {
        throw std::invalid_argument(std::string("this CPU lacks the level ") + isa_name(isa));
    }
    switch (isa) {
        case Isa::kPortable: return built<Isa::kPortable>();
        case Isa::kAvx2: return built<Isa::kAvx2>();
        case Isa::kAvx512: return built<Isa::kAvx512>();
        case Isa::kAmx: return built<Isa::kAmx>();
    }
    return built<Isa::kPortable>();
}

const KernelTable& active() {
    static const KernelTable& table = table_for(selected_isa());
    return table;
}

}  // namespace nearfield::kernels

// bfloat16 panels on CPUs with AVX512_BF16: two products per lane and instruction.
#include "kernels/avx512/panel.h"
#include "kernels/avx512/table.h"

namespace nearfield::kernels {
namespace {

struct PanelNativeBF16 : Epilogue512 {
    using Acc = __m512;
    using Query = __m512i;
    using Word = __m512i;
    static constexpr std::size_t kAccumulators = 24;
    static Acc load_init(const void* init, std::size_t group) noexcept {
        return PanelBF16::load_init(init, group);
    }
    static Query load_query(const std::uint8_t* p) noexcept { return _mm512_loadu_si512(p); }
    static Word broadcast(const std::uint8_t* p) noexcept { return PanelU8::broadcast(p); }
    static Acc dot(Acc acc, Word row, Query query) noexcept {
        __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(row), "v"(query));  // see PanelU8::dot
        return acc;
    }
    static std::uint32_t upper(const PanelArgs& a, Acc acc, std::size_t row, std::size_t group,
                               Upper& out) noexcept {
        return compare(a, acc, row, group, out);
    }
};

}  // namespace

void fill_avx512_bf16(KernelTable& table) noexcept {
    table.panel_bf16 = panel_scan<PanelNativeBF16>;
}

}  // namespace nearfield::kernels

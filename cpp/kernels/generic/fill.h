// The part of a KernelTable that every level fills from the same generic code.
#pragma once

#include "kernels/generic/bits.h"
#include "kernels/generic/convert.h"
#include "kernels/generic/exact.h"
#include "kernels/generic/factors.h"
#include "kernels/generic/grid.h"
#include "kernels/generic/nearest.h"
#include "kernels/generic/nth.h"
#include "kernels/generic/rotate.h"
#include "kernels/generic/rows.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

/// Kernel entry points over vector types D (doubles) and F (floats) of one ISA.
template <class D, class F>
struct Dense {
    static const F16* f16(const std::uint16_t* p) noexcept {
        return reinterpret_cast<const F16*>(p);
    }
    static const BF16* bf16(const std::uint16_t* p) noexcept {
        return reinterpret_cast<const BF16*>(p);
    }
    static const I8* i8(const std::uint8_t* p) noexcept { return reinterpret_cast<const I8*>(p); }
    // Rows of T, which whoever calls has as Stored.
    template <class T, class Stored = T>
    static double ip(const float* q, const Stored* x, std::size_t dim) noexcept {
        return exact_ip<D>(q, reinterpret_cast<const T*>(x), dim);
    }
    template <class T, class Stored = T>
    static double folded_ip(const float* high, const float* low, const Stored* x,
                            std::size_t dim) noexcept {
        return exact_folded_ip<D>(high, low, reinterpret_cast<const T*>(x), dim);
    }
    template <class T, class Stored = T>
    static double l2(const float* q, const Stored* x, std::size_t dim) noexcept {
        return exact_l2<D>(q, reinterpret_cast<const T*>(x), dim);
    }
    static void fill(KernelTable& t) noexcept {
        t.ip_f32 = ip<float>;
        t.ip_f16 = ip<F16, std::uint16_t>;
        t.ip_bf16 = ip<BF16, std::uint16_t>;
        t.ip_i8 = ip<I8, std::uint8_t>;
        t.ip_u8 = ip<std::uint8_t>;
        t.folded_ip_f32 = folded_ip<float>;
        t.folded_ip_f16 = folded_ip<F16, std::uint16_t>;
        t.folded_ip_bf16 = folded_ip<BF16, std::uint16_t>;
        t.folded_ip_i8 = folded_ip<I8, std::uint8_t>;
        t.folded_ip_u8 = folded_ip<std::uint8_t>;
        t.l2_f32 = l2<float>;
        t.l2_f16 = l2<F16, std::uint16_t>;
        t.l2_bf16 = l2<BF16, std::uint16_t>;
        t.l2_i8 = l2<I8, std::uint8_t>;
        t.l2_u8 = l2<std::uint8_t>;
        t.factor_products = factor_products<D>;
        t.rounded_products = rounded_products<D>;
        t.split_f64 = split_f64<D>;
        t.nth_largest_f32 = nth_largest_f32;
        t.hamming_u1 = hamming_u1;
        t.ip_u1 = ip_u1;
        t.f32_from_f16 = [](const std::uint16_t* in, float* out, std::size_t n) noexcept {
            convert<F>(f16(in), out, n);
        };
        t.f32_from_bf16 = [](const std::uint16_t* in, float* out, std::size_t n) noexcept {
            convert<F>(bf16(in), out, n);
        };
        t.f16_from_f32 = [](const float* in, std::uint16_t* out, std::size_t n) noexcept {
            convert<F>(in, reinterpret_cast<F16*>(out), n);
        };
        t.bf16_from_f32 = [](const float* in, std::uint16_t* out, std::size_t n) noexcept {
            convert<F>(in, reinterpret_cast<BF16*>(out), n);
        };
        t.max_abs = max_abs<F>;
        t.bf16_price = 4;
        t.quantize_u8 = quantize<F>;
        t.residual_u8 = residual<D>;
        t.sum_rows_f32 = sum_rows<D>;
        t.dot_f32 = dot<F>;
        t.nearest_f32 = nearest < F, F::kWidth >= 8 ? 2 : 4 > ;
        t.rotate_f32 = rotate<F>;
        t.rotate_back_f32 = rotate_back<F>;
        t.fit_grid_f32 = fit_grid<F>;
        t.grid_codes_f32 = grid_codes<F>;
    }
};

}  // namespace
}  // namespace nearfield::kernels

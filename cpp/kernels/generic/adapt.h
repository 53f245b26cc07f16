// The kernels of transforms, as every level fills them in.
#pragma once

#include "kernels/generic/exponential.h"
#include "kernels/generic/multiply.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

template <class V>
inline void fill_adapt(KernelTable& t) noexcept {
    t.multiply_rows_f32 = multiply_rows_f32<V>;
    t.add_weighted_rows_f32 = add_weighted_rows_f32<V>;
    t.softmax_f32 = softmax_f32<V>;
    t.modulate_f32 = modulate_f32<V>;
    t.logistic_f32 = logistic_f32<V>;
    t.tanh_f32 = tanh_f32<V>;
}

}  // namespace
}  // namespace nearfield::kernels

// Which rows may answer, as a scan takes it: the bias of those that may not is -infinity.
//
// A thread a row. mask: a byte a row, 0 for one that may not answer. bias: of the metric; null: none.
// Cost: one read of both. Source: own.

#include "device.cuh"

extern "C" __global__ void mask_bias(const nearfield::u8* mask, const float* bias,
                                     nearfield::u32 count, float* out) {
    const nearfield::u64 row = static_cast<nearfield::u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (row >= count) return;
    const float plain = bias != nullptr ? bias[row] : 0.0f;
    out[row] = mask[row] != 0 ? plain : -nearfield::infinity();
}
NEARFIELD_KERNEL(mask_bias)

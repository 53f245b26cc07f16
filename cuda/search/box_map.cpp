#include "cuda/search/box_map.h"

namespace nearfield::cuda {
namespace {

int tensor_type(DType dtype) noexcept {
    switch (dtype) {
        case DType::kF16: return kTensorFloat16;
        case DType::kBF16: return kTensorBfloat16;
        default: return kTensorUint8;
    }
}

}  // namespace

bool is_mapped(const DeviceRows& matrix) noexcept {
    const bool copied = matrix.dtype != DType::kF32 && matrix.rows != 0 && matrix.cols != 0;
    return copied && matrix.address % 16 == 0 && matrix.stride * size_of(matrix.dtype) % 16 == 0;
}

CUtensorMap box_map(const Device& device, const DeviceRows& matrix, std::size_t box_rows) {
    const std::size_t size = size_of(matrix.dtype);
    const unsigned long long dims[] = {matrix.cols, matrix.rows};
    const unsigned long long strides[] = {matrix.stride * size};
    const unsigned box[] = {static_cast<unsigned>(kBoxBytes / size),
                            static_cast<unsigned>(box_rows)};
    const unsigned steps[] = {1, 1};
    CUtensorMap map{};
    const OnDevice here(device);
    check(driver().cuTensorMapEncodeTiled(
              &map, tensor_type(matrix.dtype), 2,
              reinterpret_cast<void*>(static_cast<std::uintptr_t>(matrix.address)), dims, strides,
              box, steps, 0, kTensorSwizzle128, kTensorPromotion256, 0),
          "describe a matrix on " + device.label());
    return map;
}

}  // namespace nearfield::cuda

// The memory layout of DLPack: how one library's arrays become another's without a copy.
// Source: DLPack 1.0 (https://dmlc.github.io/dlpack), both forms of the managed tensor.
#pragma once

#include <cstdint>

namespace nearfield::bindings {

struct DlDevice {
    std::int32_t type;  // 1 CPU, 2 CUDA, 13 CUDA managed
    std::int32_t id;
};

struct DlType {
    std::uint8_t code;  // 0 signed, 1 unsigned, 2 float, 4 bfloat, 6 bool
    std::uint8_t bits;
    std::uint16_t lanes;
};

struct DlTensor {
    void* data;
    DlDevice device;
    std::int32_t ndim;
    DlType dtype;
    std::int64_t* shape;
    std::int64_t* strides;  // of elements; null: C-contiguous
    std::uint64_t byte_offset;
};

struct DlManaged {
    DlTensor tensor;
    void* context;
    void (*deleter)(DlManaged*);
};

struct DlManagedVersioned {
    std::uint32_t major;
    std::uint32_t minor;
    void* context;
    void (*deleter)(DlManagedVersioned*);
    std::uint64_t flags;
    DlTensor tensor;
};

inline constexpr std::int32_t kDlCuda = 2;

}  // namespace nearfield::bindings

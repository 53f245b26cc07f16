// MatrixView: rows x cols elements somewhere in memory, not owned.
// The row stride is in bytes so that typed and untyped views share one shape.
#pragma once

#include <cstddef>

#include "base/types.h"

namespace nearfield {

template <class T>
struct MatrixView {
    const T* data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t stride = 0;  // bytes from one row to the next

    MatrixView() = default;
    MatrixView(const T* data_in, std::size_t rows_in, std::size_t cols_in)
        : data(data_in), rows(rows_in), cols(cols_in), stride(cols_in * sizeof(T)) {}
    MatrixView(const T* data_in, std::size_t rows_in, std::size_t cols_in, std::size_t stride_in)
        : data(data_in), rows(rows_in), cols(cols_in), stride(stride_in) {}

    const T* row(std::size_t i) const noexcept {
        return reinterpret_cast<const T*>(reinterpret_cast<const char*>(data) + i * stride);
    }
};

/// Rows whose element type is known only at run time.
struct RowsView {
    const void* data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t stride = 0;  // bytes
    DType dtype = DType::kF32;

    const void* row(std::size_t i) const noexcept {
        return static_cast<const char*>(data) + i * stride;
    }
};

}  // namespace nearfield

// Bytes beside float rows that stay on a device: their codes, and how far scores by them can be off.
//
// Memory: a byte an element, rows of whole 16 bytes, and 16 bytes a row. Searches with Scan::kBytes read them.
// Cost: two or three reads of the rows, once. Source: kernels/row_constants.cu, kernels/byte_bounds.cu.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

class ByteRows {
public:
    /// Of float rows.
    explicit ByteRows(const DeviceRows& rows);

    std::size_t bytes() const noexcept { return scratch_.bytes(); }

    /// Enqueues their computation, into memory aligned to 256 bytes. norms: of the rows, by RowConstants,
    /// written once more, to the same bits.
    void compute(const StreamRef& stream, Metric metric, CUdeviceptr norms, CUdeviceptr at) const;

    /// Codes of excess 128.
    DeviceRows codes(CUdeviceptr at) const noexcept {
        return {at + codes_, rows_.rows, rows_.cols, stride_, DType::kU8};
    }
    CUdeviceptr scale(CUdeviceptr at) const noexcept { return at + scale_; }
    /// 0 where a metric has none.
    CUdeviceptr bias(CUdeviceptr at, Metric metric) const noexcept {
        return metric == Metric::kL2 ? at + bias_ : 0;
    }
    CUdeviceptr size(CUdeviceptr at) const noexcept { return at + size_; }
    CUdeviceptr off(CUdeviceptr at) const noexcept { return at + off_; }
    CUdeviceptr limits(CUdeviceptr at) const noexcept { return at + limits_; }

private:
    DeviceRows rows_;
    Scratch scratch_;
    std::size_t stride_, codes_, scale_, bias_, size_, off_, limits_;
};

/// Bytes of the ByteRows of rows. std::invalid_argument where rows are bytes already.
std::size_t byte_rows_bytes(const DeviceRows& rows);

/// Enqueues them. constants: of the rows, by compute_constants().
void compute_byte_rows(const StreamRef& stream, const DeviceRows& rows, Metric metric,
                       CUdeviceptr constants, CUdeviceptr at);

}  // namespace nearfield::cuda

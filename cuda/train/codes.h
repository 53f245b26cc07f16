// The codes of rows on a device, and rows of codes: what Quantizer::encode and decode give, the same bits.
//
// A quantizer's trained arrays are copied to the device once; nothing waits after that. A row that is not finite
// is not found: its code means nothing.
// Cost: product quantizers 2 2^nbits dim operations a row; scalar ones one pass. For rows of bytes a float32
// copy of a block of them. Source: kernels/pq_encode.cu, kernels/scalar_encode.cu, kernels/decode_codes.cu.
#pragma once

#include <memory>

#include "cuda/runtime/memory.h"
#include "cuda/search/coded_rows.h"
#include "cuda/search/request.h"
#include "quant/quantizer.h"

namespace nearfield::cuda {

class DeviceCodes {
public:
    virtual ~DeviceCodes() = default;

    static constexpr std::size_t kRowsAtOnce = std::size_t{1} << 22;

    /// Bytes that encode() works in.
    std::size_t scratch_bytes(const DeviceRows& rows, std::size_t rows_at_once = kRowsAtOnce) const;

    /// Enqueues it. codes: code_size bytes a row, without a gap. scratch: aligned to 256 bytes.
    void encode(const StreamRef& stream, const DeviceRows& rows, CUdeviceptr codes,
                CUdeviceptr scratch, std::size_t rows_at_once = kRowsAtOnce) const;

    /// Enqueues it. rows: dense float32.
    void decode(const StreamRef& stream, const CodeBlock& codes, CUdeviceptr rows,
                std::size_t rows_at_once = kRowsAtOnce) const;

protected:
    DeviceCodes(const StreamRef& stream, const Quantizer& quantizer);
    virtual void encode_block(const StreamRef& stream, const DeviceRows& block,
                              CUdeviceptr codes) const = 0;

    Decoding decoding_;  // its arrays empty: they are on the device
    DeviceBuffer table_;
};

/// Of a scalar quantizer, or a product quantizer of 4 or 8 bits a part. NotTrained before train();
/// std::invalid_argument for another kind, or parts too wide for the device.
std::unique_ptr<DeviceCodes> device_codes(const StreamRef& stream, const Quantizer& quantizer);

}  // namespace nearfield::cuda

// Rows that a device has as codes only, and how some of them become floats again.
//
// Codes stay codes in the device's memory; a search decodes them part by part. Rows are decoded to the bits
// that the quantizer decodes.
// Source: kernels/decode_codes.cu.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"
#include "quant/decoding.h"

namespace nearfield::cuda {

/// Codes on a device, `stride` bytes apart.
struct CodeBlock {
    CUdeviceptr address = 0;
    std::size_t count = 0;
    std::size_t stride = 0;
};

/// Enqueues the decoding of a block to float32 rows at `out`, `stride` elements apart: dim and rotated_dim at
/// least. table: decoding.table on the device.
void decode(const StreamRef& stream, const Decoding& decoding, CUdeviceptr table,
            const CodeBlock& codes, CUdeviceptr out, std::size_t stride);

struct CodedRows {
    Decoding decoding;         // its arrays empty: they are on the device
    CUdeviceptr codes = 0;     // one behind the other
    CUdeviceptr table = 0;     // decoding.table
    CUdeviceptr rotation = 0;  // decoding.rotation; 0: none
    std::size_t rows = 0;

    /// Elements from one decoded row to the next: room for what decoding works in.
    std::size_t stride() const noexcept { return round_up(decoding.dim, 8); }
};

inline constexpr std::size_t kSliceBytes = std::size_t{256} << 20;  // of rows decoded at a time

/// Enqueues the decoding of rows [first, first + count) to float32 rows at `out`, stride() apart.
void decode(const StreamRef& stream, const CodedRows& coded, std::size_t first, std::size_t count,
            CUdeviceptr out);

/// Enqueues the rotation of dense queries. Only where coded.rotation is not 0.
void rotate(const StreamRef& stream, const CodedRows& coded, CUdeviceptr queries, std::size_t count,
            CUdeviceptr out);
/// The same by a matrix of dim x dim.
void rotate(const StreamRef& stream, CUdeviceptr rotation, std::size_t dim, CUdeviceptr queries,
            std::size_t count, CUdeviceptr out);

}  // namespace nearfield::cuda

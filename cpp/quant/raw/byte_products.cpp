// Coding rows to compare them with each other, and the products of such codes.
#include "quant/raw/byte_products.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/resolve.h"

namespace nearfield {
namespace {

constexpr float kLeastElement = 0x1p-100f;
constexpr std::size_t kPiece = 4096;  // bytes of the query that are signed at a time
constexpr std::size_t kBatch = 64;    // rows whose sums wait for more pieces

}  // namespace

ByteTerms encode_row(const float* x, std::size_t dim, std::size_t stride,
                     std::uint8_t* code) noexcept {
    const kernels::KernelTable& kernel = kernels::active();
    const float most = kernel.max_abs(x, dim);
    if (!(most >= kLeastElement && most <= std::numeric_limits<float>::max())) {
        std::memset(code, 128, stride);
        return {};
    }
    kernel.quantize_u8(x, dim, 127.0f / most, code);
    std::memset(code + dim, 128, stride - dim);
    ByteTerms terms{.scale = most / 127.0f};
    for (std::size_t k = 0; k < dim; ++k) {
        const std::int32_t v = code[k] - 128;
        terms.sum += v;
        terms.square += v * v;
    }
    return terms;
}

void byte_products(const std::uint8_t* codes, std::size_t stride, std::size_t from,
                   std::int32_t from_sum, const Id* to, std::size_t n, std::int32_t* out) noexcept {
    const kernels::KernelTable& kernel = kernels::active();
    const std::uint8_t* const row = codes + from * stride;
    alignas(64) std::int8_t query[kPiece];
    std::int32_t sums[kBatch];
    const auto sign = [&](std::size_t at, std::size_t size) {
        for (std::size_t k = 0; k < size; ++k) {
            query[k] = static_cast<std::int8_t>(row[at + k] ^ 128);
        }
    };
    const std::size_t first = std::min(stride, kPiece);
    sign(0, first);
    for (std::size_t i = 0; i < n; i += kBatch) {
        const std::size_t count = std::min(kBatch, n - i);
        if (i != 0 && stride > kPiece) sign(0, first);
        kernel.gather_u8(codes, stride, to + i, count, query, first, out + i);
        for (std::size_t at = first; at < stride; at += kPiece) {
            const std::size_t size = std::min(stride - at, kPiece);
            sign(at, size);
            kernel.gather_u8(codes + at, stride, to + i, count, query, size, sums);
            for (std::size_t j = 0; j < count; ++j) out[i + j] += sums[j];
        }
    }
    for (std::size_t i = 0; i < n; ++i) out[i] -= 128 * from_sum;
}

}  // namespace nearfield

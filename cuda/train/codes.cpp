#include "cuda/train/codes.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/train/row_blocks.h"
#include "cuda/train/transfer.h"
#include "quant/pq/product_quantizer.h"
#include "quant/sq/scalar_quantizer.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr unsigned kThreads = 128;
constexpr std::size_t kWarps = kThreads / 32;

DeviceBuffer copied(const StreamRef& stream, const std::vector<float>& values) {
    return uploaded(stream, values.data(), values.size());
}

class ScalarCodes final : public DeviceCodes {
public:
    ScalarCodes(const StreamRef& stream, const ScalarQuantizer& quantizer)
        : DeviceCodes(stream, quantizer),
          low_(copied(stream, quantizer.ranges().low)),
          inverse_(copied(stream, quantizer.ranges().inverse)) {}

private:
    void encode_block(const StreamRef& stream, const DeviceRows& block,
                      CUdeviceptr codes) const override {
        const std::string name = std::string("scalar_encode_") + suffix(block.dtype);
        launch(stream, {"scalar_encode.cu", name.c_str()},
               {{blocks_for(block.rows, kWarps), 1, 1}, {kThreads, 1, 1}, 0}, block.address,
               u64{block.stride}, static_cast<u32>(block.rows), static_cast<u32>(decoding_.dim),
               low_.address(), inverse_.address(), decoding_.bits == 8 ? 255.0f : 15.0f,
               static_cast<u32>(decoding_.bits), codes, u64{decoding_.code_size});
    }

    DeviceBuffer low_, inverse_;
};

class ProductCodes final : public DeviceCodes {
public:
    ProductCodes(const StreamRef& stream, const ProductQuantizer& quantizer)
        : DeviceCodes(stream, quantizer),
          shape_(quantizer.shape()),
          threads_(threads_for(shape_, stream.device->shared_bytes())) {
        const Codebooks::Encoding encoding = quantizer.codebooks().encoding();
        limit_ = encoding.limit;
        centre_ = copied(stream, encoding.centre);
        scale_ = copied(stream, encoding.scale);
        weights_ = copied(stream, encoding.weights);
        bias_ = copied(stream, encoding.bias);
    }

private:
    static std::size_t shared_bytes(const CodebookShape& shape, std::size_t threads) {
        return sizeof(float) * shape.sub_dim() * (shape.k() + threads) * (8 / shape.nbits);
    }

    /// As many as leave room for the centroids.
    static unsigned threads_for(const CodebookShape& shape, std::size_t available) {
        for (unsigned threads = kThreads; threads >= 32; threads /= 2) {
            if (shared_bytes(shape, threads) <= available) return threads;
        }
        throw std::invalid_argument("m: got parts of " + std::to_string(shape.sub_dim()) +
                                    " dimensions, whose centroids do not fit into a block of the "
                                    "device; use a larger m, or encode on the CPU");
    }

    void encode_block(const StreamRef& stream, const DeviceRows& block,
                      CUdeviceptr codes) const override {
        const std::string name = std::string("pq_encode_") + suffix(block.dtype);
        const Grid grid{
            {blocks_for(block.rows, threads_), static_cast<unsigned>(decoding_.code_size), 1},
            {threads_, 1, 1},
            shared_bytes(shape_, threads_)};
        launch(stream, {"pq_encode.cu", name.c_str()}, grid, block.address, u64{block.stride},
               static_cast<u32>(block.rows), centre_.address(), scale_.address(),
               weights_.address(), bias_.address(), limit_, static_cast<u32>(shape_.m),
               static_cast<u32>(shape_.sub_dim()), static_cast<u32>(shape_.nbits), codes,
               u64{decoding_.code_size});
    }

    CodebookShape shape_;
    unsigned threads_;
    float limit_ = 0.0f;
    DeviceBuffer centre_, scale_, weights_, bias_;
};

}  // namespace

DeviceCodes::DeviceCodes(const StreamRef& stream, const Quantizer& quantizer)
    : decoding_(decoding_of(quantizer)), table_(copied(stream, decoding_.table)) {
    decoding_.table = {};
}

std::size_t DeviceCodes::scratch_bytes(const DeviceRows& rows, std::size_t rows_at_once) const {
    Scratch scratch;
    const RowBlocks blocks(rows, rows_at_once, scratch);
    return scratch.bytes();
}

void DeviceCodes::encode(const StreamRef& stream, const DeviceRows& rows, CUdeviceptr codes,
                         CUdeviceptr at, std::size_t rows_at_once) const {
    Scratch scratch;
    const RowBlocks blocks(rows, rows_at_once, scratch);
    for (std::size_t first = 0; first < rows.rows; first += blocks.size()) {
        encode_block(stream, blocks.block(stream, first, at), codes + first * decoding_.code_size);
    }
}

void DeviceCodes::decode(const StreamRef& stream, const CodeBlock& codes, CUdeviceptr rows,
                         std::size_t rows_at_once) const {
    for (std::size_t first = 0; first < codes.count; first += rows_at_once) {
        const CodeBlock some{codes.address + first * codes.stride,
                             std::min(rows_at_once, codes.count - first), codes.stride};
        cuda::decode(stream, decoding_, table_.address(), some,
                     rows + first * decoding_.dim * sizeof(float), decoding_.dim);
    }
}

std::unique_ptr<DeviceCodes> device_codes(const StreamRef& stream, const Quantizer& quantizer) {
    if (const auto* scalar = dynamic_cast<const ScalarQuantizer*>(&quantizer)) {
        return std::make_unique<ScalarCodes>(stream, *scalar);
    }
    const auto* product = dynamic_cast<const ProductQuantizer*>(&quantizer);
    if (product != nullptr && (product->shape().nbits == 4 || product->shape().nbits == 8)) {
        return std::make_unique<ProductCodes>(stream, *product);
    }
    throw std::invalid_argument("got " + quantizer.name() +
                                ", expected sq8, sq4, or pq of 4 or 8 bits a part: other codes are "
                                "made on the CPU only");
}

}  // namespace nearfield::cuda

#include "cuda/search/coded_rows.h"

#include <algorithm>

#include "cuda/runtime/launch.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "decode_codes.cu";
constexpr unsigned kThreads = 128;
constexpr std::size_t kMostShared = 40 * 1024;

}  // namespace

void decode(const StreamRef& stream, const CodedRows& coded, std::size_t first, std::size_t count,
            CUdeviceptr out) {
    const Decoding& d = coded.decoding;
    const auto dim = static_cast<u32>(d.dim);
    const auto size = static_cast<u32>(d.code_size);
    const auto bits = static_cast<u32>(d.bits);
    const CUdeviceptr codes = coded.codes + first * d.code_size;
    Grid grid{{static_cast<unsigned>(count), 1, 1}, {kThreads, 1, 1}, 0};
    switch (d.way) {
        case Decoding::Way::kScalar:
            launch(stream, {kSource, "decode_scalar"}, grid, codes, size, dim, bits, coded.table,
                   out, u64{coded.stride()});
            break;
        case Decoding::Way::kBooks:
            launch(stream, {kSource, "decode_books"}, grid, codes, size, dim, bits,
                   static_cast<u32>(d.width), coded.table, out, u64{coded.stride()});
            break;
        case Decoding::Way::kGrid: {
            const std::size_t bytes = d.rotated_dim * sizeof(float);
            const bool in_shared = bytes <= kMostShared;
            grid.shared_bytes = in_shared ? bytes : 0;
            launch(stream, {kSource, "decode_grid"}, grid, codes, size, dim, bits,
                   static_cast<u32>(d.rotated_dim), static_cast<u32>(d.window),
                   static_cast<u32>(d.rounds), coded.table, static_cast<u32>(in_shared), out,
                   u64{coded.stride()});
            break;
        }
    }
}

void rotate(const StreamRef& stream, const CodedRows& coded, CUdeviceptr queries, std::size_t count,
            CUdeviceptr out) {
    const std::size_t dim = coded.decoding.dim;
    const unsigned slices = std::min(blocks_of(dim, 16), 64U);
    launch(stream, {kSource, "rotate_queries"},
           {{static_cast<unsigned>(count), slices, 1}, {kThreads, 1, 1}, 0}, queries,
           static_cast<u32>(dim), coded.rotation, out);
}

}  // namespace nearfield::cuda

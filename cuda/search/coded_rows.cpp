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

void decode(const StreamRef& stream, const Decoding& d, CUdeviceptr table, const CodeBlock& codes,
            CUdeviceptr out, std::size_t stride) {
    Grid grid{{static_cast<unsigned>(codes.count), 1, 1}, {kThreads, 1, 1}, 0};
    const auto start = [&](const char* kernel, const auto&... more) {
        launch(stream, {kSource, kernel}, grid, codes.address, u64{codes.stride},
               static_cast<u32>(d.dim), static_cast<u32>(d.bits), more..., out, u64{stride});
    };
    const auto size = static_cast<u32>(d.code_size);
    switch (d.way) {
        case Decoding::Way::kScalar: return start("decode_scalar", size, table);
        case Decoding::Way::kBooks:
            return start("decode_books", size, static_cast<u32>(d.width), table);
        case Decoding::Way::kGrid: {
            const std::size_t bytes = d.rotated_dim * sizeof(float);
            const bool in_shared = bytes <= kMostShared;
            grid.shared_bytes = in_shared ? bytes : 0;
            return start("decode_grid", static_cast<u32>(d.rotated_dim), static_cast<u32>(d.window),
                         static_cast<u32>(d.rounds), table, static_cast<u32>(in_shared));
        }
    }
}

void decode(const StreamRef& stream, const CodedRows& coded, std::size_t first, std::size_t count,
            CUdeviceptr out) {
    const std::size_t size = coded.decoding.code_size;
    decode(stream, coded.decoding, coded.table, {coded.codes + first * size, count, size}, out,
           coded.stride());
}

void rotate(const StreamRef& stream, const CodedRows& coded, CUdeviceptr queries, std::size_t count,
            CUdeviceptr out) {
    rotate(stream, coded.rotation, coded.decoding.dim, queries, count, out);
}

void rotate(const StreamRef& stream, CUdeviceptr rotation, std::size_t dim, CUdeviceptr queries,
            std::size_t count, CUdeviceptr out) {
    const unsigned slices = std::min(blocks_of(dim, 16), 64U);
    launch(stream, {kSource, "rotate_queries"},
           {{static_cast<unsigned>(count), slices, 1}, {kThreads, 1, 1}, 0}, queries,
           static_cast<u32>(dim), rotation, out);
}

}  // namespace nearfield::cuda

// Rows in slices of 64 bytes, brought into shared memory ahead of their use.
//
// A stage holds one slice of some rows, kPitch bytes apart, so that eight lanes that read 16 bytes, or 32
// that read fragments of 8 rows x 4 words, meet all 32 banks. Rows past the last and bytes past the depth
// are zero. Source: own.
#pragma once

#include "copy_async.cuh"

namespace nearfield {

constexpr u32 kSliceBytes = 64;
constexpr u32 kPitch = kSliceBytes + 16;

/// `count` rows of `depth` bytes, `stride` bytes apart; with an index, row i is row index[i] / divisor.
struct Rows {
    const u8* data;
    u64 stride;
    u32 count;
    u32 depth;
    const u32* index = nullptr;
    u32 divisor = 1;

    __device__ u32 number(u32 row) const { return index != nullptr ? index[row] / divisor : row; }

    __device__ bool is_aligned() const {
        return ((reinterpret_cast<u64>(data) | stride) & 15) == 0;
    }
};

/// Where 16 bytes of a slice come from, and how many bytes of the row there are from there on.
struct SliceChunk {
    const u8* from;
    u32 left;

    __device__ SliceChunk(const Rows& rows, u32 row, u32 slice, u32 chunk) {
        const u32 offset = slice * kSliceBytes + chunk * 16;
        left = row < rows.count && offset < rows.depth ? rows.depth - offset : 0;
        from = rows.data + (left > 0 ? rows.number(row) * rows.stride + offset : 0);
    }
};

/// Starts to copy one slice of the rows [first, first + Count) by Threads threads. Rows that are not
/// aligned to 16 bytes are copied at once, byte by byte.
template <u32 Count, u32 Threads>
static __device__ __forceinline__ void load_slice(const Rows& rows, bool aligned, u32 first,
                                                  u32 slice, u8* stage) {
    constexpr u32 kChunks = kSliceBytes / 16;
    if (aligned) {
#pragma unroll
        for (u32 at = threadIdx.x; at < Count * kChunks; at += Threads) {
            const SliceChunk chunk(rows, first + at / kChunks, slice, at % kChunks);
            copy_chunk(stage + at / kChunks * kPitch + at % kChunks * 16, chunk.from,
                       chunk.left < 16 ? chunk.left : 16);
        }
        return;
    }
#pragma unroll 1
    for (u32 at = threadIdx.x; at < Count * kChunks; at += Threads) {
        const SliceChunk chunk(rows, first + at / kChunks, slice, at % kChunks);
        u8* const to = stage + at / kChunks * kPitch + at % kChunks * 16;
#pragma unroll 1
        for (u32 byte = 0; byte < 16; ++byte)
            to[byte] = byte < chunk.left ? chunk.from[byte] : u8{0};
    }
}

}  // namespace nearfield

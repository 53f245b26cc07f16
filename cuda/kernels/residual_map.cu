// Maps of rows that add to a row what a narrow layer makes of it, with the row's length put right.
//
//   y = x + gate * (sum over j < width of act(h)[j] * outer[j]) + bias,   h = factor * (inner x) + inner_bias
//   then y / |y| where asked for
// low-rank: act none, inner A, outer B^T. Key-value: act softmax, inner the keys, factor 1 / temperature,
// outer the values. Residual network: act relu, leaky relu, tanh or logistic.
// Every row has a map of its own among many: rows are taken in tiles of up to four rows of one map, so that
// weights are read once for four rows. A tile is a warp's, and a row's sums are in the same order whatever
// is beside it: its result does not depend on the batch.
//
// Grid: tiles / warps a block. Shared memory: 16 (width + dim) bytes a warp. tiles: per tile its map, and
// where in `order` its rows start, and end; null: one map, four rows a tile. out may be null where only
// norms are wanted (of y, before it is divided); norms may be null.
// Cost: 2 width dim multiply-adds a row; one read of x, one write of y. Source: own; tiles of rows of one map
// after Punica's SGMV (2310.18547).

#include "device.cuh"

namespace nearfield {
namespace {

using f32 = float;
constexpr u32 kTileRows = 4;

enum Activation : u32 {
    kNone = 0,
    kSoftmax = 1,
    kRelu = 2,
    kLeakyRelu = 3,
    kTanh = 4,
    kLogistic = 5
};

struct MapTile {
    u32 map;
    u32 first;
    u32 count;
};

struct Layer {
    const float* inner;       // maps x width x dim
    const float* inner_bias;  // maps x width, or null
    const float* outer;       // maps x width x dim
    const float* bias;        // maps x dim, or null
    u32 width;
    u32 dim;
    u32 activation;
    float factor;
    float gate;

    __device__ Layer of_map(u32 map) const {
        const u64 weights = static_cast<u64>(map) * width * dim;
        return {inner + weights,
                inner_bias != nullptr ? inner_bias + static_cast<u64>(map) * width : nullptr,
                outer + weights,
                bias != nullptr ? bias + static_cast<u64>(map) * dim : nullptr,
                width,
                dim,
                activation,
                factor,
                gate};
    }
};

__device__ MapTile tile_of(const u32* tiles, u32 number, u32 rows) {
    if (tiles != nullptr) {
        const u32* const tile = tiles + 3 * static_cast<u64>(number);
        return {tile[0], tile[1], tile[2] - tile[1]};
    }
    const u32 first = number * kTileRows;
    return {0, first, min(kTileRows, rows - first)};
}

__device__ float activate(float x, u32 activation) {
    switch (activation) {
        case kRelu: return fmaxf(x, 0.0f);
        case kLeakyRelu: return x > 0.0f ? x : 0.01f * x;
        case kTanh: return tanhf(x);
        case kLogistic: return 1.0f / (1.0f + expf(-x));
        default: return x;
    }
}

/// x / sum of exponentials, in place; one warp.
__device__ void softmax(float* x, u32 n) {
    float largest = -infinity(), sum = 0.0f;
    for (u32 j = lane_id(); j < n; j += kWarp) largest = fmaxf(largest, x[j]);
    largest = warp_max(largest);
    for (u32 j = lane_id(); j < n; j += kWarp) {
        x[j] = expf(x[j] - largest);
        sum += x[j];
    }
    sum = warp_sum(sum);
    for (u32 j = lane_id(); j < n; j += kWarp) x[j] = x[j] / sum;
}

/// hidden[row][j] for the rows of a tile, whose elements lie in x.
__device__ void narrow(const Layer& layer, const float* x, float* hidden) {
    for (u32 j = 0; j < layer.width; ++j) {
        const float* const weights = layer.inner + static_cast<u64>(j) * layer.dim;
        float sum[kTileRows] = {};
        for (u32 k = lane_id(); k < layer.dim; k += kWarp) {
            const float weight = weights[k];
#pragma unroll
            for (u32 r = 0; r < kTileRows; ++r) sum[r] = fmaf(weight, x[r * layer.dim + k], sum[r]);
        }
        const float shift = layer.inner_bias != nullptr ? layer.inner_bias[j] : 0.0f;
        float own = 0.0f;  // lane r finishes row r
#pragma unroll
        for (u32 r = 0; r < kTileRows; ++r) {
            const float all = warp_sum(sum[r]);
            if (lane_id() == r) own = all;
        }
        if (lane_id() < kTileRows) {
            const float h = fmaf(own, layer.factor, shift);
            hidden[lane_id() * layer.width + j] = activate(h, layer.activation);
        }
    }
    __syncwarp();
    if (layer.activation != kSoftmax) return;
    for (u32 r = 0; r < kTileRows; ++r) softmax(hidden + r * layer.width, layer.width);
    __syncwarp();
}

/// x becomes y; square: the lane's share of |y|^2.
__device__ void widen(const Layer& layer, const float* hidden, float* x,
                      float (&square)[kTileRows]) {
    for (u32 k = lane_id(); k < layer.dim; k += kWarp) {
        float sum[kTileRows] = {};
        for (u32 j = 0; j < layer.width; ++j) {
            const float weight = layer.outer[static_cast<u64>(j) * layer.dim + k];
#pragma unroll
            for (u32 r = 0; r < kTileRows; ++r) {
                sum[r] = fmaf(hidden[r * layer.width + j], weight, sum[r]);
            }
        }
        const float shift = layer.bias != nullptr ? layer.bias[k] : 0.0f;
#pragma unroll
        for (u32 r = 0; r < kTileRows; ++r) {
            const float y = fmaf(layer.gate, sum[r], x[r * layer.dim + k]) + shift;
            x[r * layer.dim + k] = y;
            square[r] = fmaf(y, y, square[r]);
        }
    }
}

/// |y| from the lanes' shares of its square; from y itself where these left float32's range.
__device__ float length_of(float square, const float* y, u32 dim) {
    const float sum = warp_sum(square);
    if (sum > 0x1p-100f && sum < 0x1p120f) return sqrtf(sum);
    double wide = 0.0;
    for (u32 k = lane_id(); k < dim; k += kWarp) {
        wide += static_cast<double>(y[k]) * static_cast<double>(y[k]);
    }
    return static_cast<float>(sqrt(warp_sum(wide)));
}

template <class T>
__device__ void map_rows(const T* rows, u64 stride, u32 row_count, const Layer& all,
                         const u32* tiles, u32 tile_count, const u32* order, bool normalise, T* out,
                         u64 out_stride, float* norms, float* shared) {
    const u32 number = blockIdx.x * (blockDim.x / kWarp) + warp_id();
    if (number >= tile_count) return;
    const MapTile tile = tile_of(tiles, number, row_count);
    const Layer layer = all.of_map(tile.map);
    float* const x = shared + warp_id() * kTileRows * (layer.width + layer.dim);
    float* const hidden = x + kTileRows * layer.dim;
    const auto row_of = [&](u32 r) {
        return static_cast<u64>(order != nullptr ? order[tile.first + r] : tile.first + r);
    };
    for (u32 r = 0; r < kTileRows; ++r) {
        const T* const row = rows + (r < tile.count ? row_of(r) : row_of(0)) * stride;
        for (u32 k = lane_id(); k < layer.dim; k += kWarp) x[r * layer.dim + k] = to_float(row[k]);
    }
    narrow(layer, x, hidden);
    float square[kTileRows] = {};
    widen(layer, hidden, x, square);
    for (u32 r = 0; r < tile.count; ++r) {
        const float* const y = x + r * layer.dim;
        const float norm = length_of(square[r], y, layer.dim);
        const u64 row = row_of(r);
        if (norms != nullptr && lane_id() == 0) norms[row] = norm;
        if (out == nullptr) continue;
        const float by = normalise && norm > 0.0f ? norm : 1.0f;
        for (u32 k = lane_id(); k < layer.dim; k += kWarp) {
            from_float(y[k] / by, out[row * out_stride + k]);
        }
    }
}

}  // namespace
}  // namespace nearfield

/// Strides in elements; blocks of a multiple of 32 threads.
#define NEARFIELD_RESIDUAL_MAP(T)                                                              \
    extern "C" __global__ void residual_map_##T(                                               \
        const nearfield::T* rows, nearfield::u64 stride, nearfield::u32 row_count,             \
        nearfield::u32 dim, nearfield::u32 width, const float* inner, const float* inner_bias, \
        const float* outer, const float* bias, nearfield::u32 activation, float factor,        \
        float gate, const nearfield::u32* tiles, nearfield::u32 tile_count,                    \
        const nearfield::u32* order, nearfield::u32 normalise, nearfield::T* out,              \
        nearfield::u64 out_stride, float* norms) {                                             \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                      \
        nearfield::map_rows<nearfield::T>(                                                     \
            rows, stride, row_count,                                                           \
            {inner, inner_bias, outer, bias, width, dim, activation, factor, gate}, tiles,     \
            tile_count, order, normalise != 0, out, out_stride, norms,                         \
            reinterpret_cast<float*>(shared));                                                 \
    }                                                                                          \
    NEARFIELD_KERNEL(residual_map_##T)

NEARFIELD_RESIDUAL_MAP(f32)
NEARFIELD_RESIDUAL_MAP(f16)
NEARFIELD_RESIDUAL_MAP(bf16)

// Programs: what transforms of rows are to a kernel, a list of steps that a block of threads runs on a tile
// of up to R rows in its memory.
//
// A program holds any chain of transforms, and each row has a program of its own among many. Steps: see
// StepKind; their arrays lie in one block of floats, matrices with what they are summed over first.
// The tile is read once and written once; weights are read once a tile. Every result is the CPU engine's to
// the bit (engine_math.cuh) and does not depend on the other rows.
// Cost: as cpp/transform has it for each kind. Source: own; tiles of rows of one map after Punica's SGMV
// (2310.18547).
#pragma once

#include "engine_math.cuh"

namespace nearfield {

enum StepKind : u32 {
    kDiagonal = 0,   // x * outer
    kNormalise = 1,  // x / |x|
    kActivate = 2,   // act(x)
    kAffine = 3,     // x outer + bias
    kResidual = 4,   // x + bias + act(x inner + inner_bias) outer
    kModulate =
        5,  // exp(z - max z) * x, z = bias + the query's weights times outer; activation: its length
};

enum Activation : u32 {
    kNone = 0,
    kSoftmax = 1,  // of kResidual
    kRelu = 2,
    kLeakyRelu = 3,
    kTanh = 4,
    kLogistic = 5,
};

constexpr u32 kNoArray = ~0u;

/// Places of arrays are in floats from the program's weights on.
struct Step {
    u32 kind;
    u32 activation;
    u32 outputs;
    u32 width;  // of kResidual
    u32 inner;
    u32 inner_bias;
    u32 outer;
    u32 bias;
};

struct Program {
    const Step* steps;
    u64 count;
    const float* weights;
};

/// Tokens of every query and their weights: `vocabulary` weights a query, or none and then, one after the
/// other, count + 1 offsets, all ids and all weights.
struct Bags {
    const void* memory;
    u32 vocabulary;
    u32 count;
};

/// A tile in a block's memory. x: R rows `stride` apart; spare: as many, where a program needs them.
struct TileMemory {
    float* x;
    float* spare;
    float* hidden;
    float* partials;
    u32 stride;
};

static __device__ __forceinline__ float activate(float x, u32 activation) {
    switch (activation) {
        case kRelu: return x < 0.0f ? 0.0f * x + 0.0f : x;  // minus infinity becomes NaN
        case kLeakyRelu: return x < 0.0f ? 0.01f * x : x;
        case kTanh: return hyperbolic_tangent(x);
        case kLogistic: return logistic(x);
        default: return x;
    }
}

static __device__ const float* array_at(const Program& program, u32 place) {
    return place != kNoArray ? program.weights + place : nullptr;
}

/// What sums start from where nothing is added: the sum itself comes out, minus zero too.
static __device__ float start_of(const float* bias, u32 j) {
    return bias != nullptr ? bias[j] : -0.0f;
}

template <u32 R>
static __device__ __forceinline__ void run_residual(const Program& program, const Step& step,
                                                    u32 dim, const TileMemory& m) {
    const float* const inner_bias = array_at(program, step.inner_bias);
    multiply<R>(
        m.x, m.stride, dim, program.weights + step.inner, step.width, m.partials,
        [&](u32, u32 j) { return start_of(inner_bias, j); },
        [&](u32 r, u32 j, float h) {
            m.hidden[r * step.width + j] = activate(h, step.activation);
        });
    if (step.activation == kSoftmax) {
        for (u32 r = warp_id(); r < R; r += blockDim.x / kWarp) {
            warp_softmax(m.hidden + r * step.width, step.width);
        }
        __syncthreads();
    }
    const float* const bias = array_at(program, step.bias);
    multiply<R>(
        m.hidden, step.width, step.width, program.weights + step.outer, dim, m.partials,
        [&](u32 r, u32 k) {
            const float x = m.x[r * m.stride + k];
            return bias != nullptr ? x + bias[k] : x;
        },
        [&](u32 r, u32 k, float y) { m.x[r * m.stride + k] = y; });
}

/// Leaves the rows in m.x.
template <u32 R>
static __device__ __forceinline__ void run_affine(const Program& program, const Step& step, u32 dim,
                                                  TileMemory& m) {
    const float* const bias = array_at(program, step.bias);
    multiply<R>(
        m.x, m.stride, dim, program.weights + step.outer, step.outputs, m.partials,
        [&](u32, u32 j) { return start_of(bias, j); },
        [&](u32 r, u32 j, float y) { m.spare[r * m.stride + j] = y; });
    float* const mapped = m.spare;
    m.spare = m.x;
    m.x = mapped;
}

/// z of one element.
static __device__ float weigh(const Bags& bags, u32 query, const float* table, u32 dim, float z) {
    const u64* const offsets = static_cast<const u64*>(bags.memory);
    const bool all = bags.vocabulary != 0;
    const u64 first = all ? 0 : offsets[query], last = all ? bags.vocabulary : offsets[query + 1];
    const u32* const ids = reinterpret_cast<const u32*>(offsets + bags.count + 1);
    const float* const weights =
        all ? static_cast<const float*>(bags.memory) + static_cast<u64>(query) * bags.vocabulary
            : reinterpret_cast<const float*>(ids + offsets[bags.count]);
    for (u64 begin = first; begin < last; begin += kProductBlock) {
        float sum = 0.0f;
        for (u64 t = begin; t < min(last, begin + kProductBlock); ++t) {
            const u64 row = all ? t : ids[t];
            sum = fmaf(weights[t], table[row * dim], sum);
        }
        z += sum;
    }
    return z;
}

static __device__ __forceinline__ void run_modulation(const Program& program, const Step& step,
                                                      const Bags& bags, u32 first, u32 count,
                                                      u32 dim, const TileMemory& m) {
    const float* const bias = array_at(program, step.bias);
    const float* const table = program.weights + step.outer;
    for (u32 at = threadIdx.x; at < count * dim; at += blockDim.x) {
        const u32 r = at / dim, k = at % dim;
        const float z = weigh(bags, first + r, table + k, dim, bias != nullptr ? bias[k] : 0.0f);
        m.spare[r * m.stride + k] = z;
    }
    __syncthreads();
    for (u32 r = warp_id(); r < count; r += blockDim.x / kWarp) {
        const float* const z = m.spare + r * m.stride;
        float* const x = m.x + r * m.stride;
        float most = -infinity();
        for (u32 k = lane_id(); k < dim; k += kWarp) most = z[k] > most ? z[k] : most;
        most = warp_max(most);
        for (u32 k = lane_id(); k < dim; k += kWarp) x[k] = exponential(z[k] - most) * x[k];
        __syncwarp();
        if (step.activation != 0) warp_normalise(x, dim);
    }
    __syncthreads();
}

/// Runs a program on a tile of queries [first, first + count); the columns it leaves. All threads call it,
/// after a barrier; ends with one.
template <u32 R>
static __device__ __forceinline__ u32 run_program(const Program& program, const Bags& bags,
                                                  u32 first, u32 count, u32 dim, TileMemory& m) {
    for (u64 s = 0; s < program.count; ++s) {
        const Step step = program.steps[s];
        if (step.kind == kAffine) {
            run_affine<R>(program, step, dim, m);
            dim = step.outputs;
            continue;
        }
        if (step.kind == kResidual) {
            run_residual<R>(program, step, dim, m);
            continue;
        }
        if (step.kind == kModulate) {
            run_modulation(program, step, bags, first, count, dim, m);
            continue;
        }
        if (step.kind == kNormalise) {
            for (u32 r = warp_id(); r < count; r += blockDim.x / kWarp) {
                warp_normalise(m.x + r * m.stride, dim);
            }
        } else {
            for (u32 at = threadIdx.x; at < count * dim; at += blockDim.x) {
                const u32 k = at % dim;
                float& x = m.x[at / dim * m.stride + k];
                x = step.kind == kDiagonal ? x * program.weights[step.outer + k]
                                           : activate(x, step.activation);
            }
        }
        __syncthreads();
    }
    return dim;
}

}  // namespace nearfield

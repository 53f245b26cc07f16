// KernelTable: every numeric routine the engine calls, one table per instruction set level.
//
// A kernel is a noexcept function on pointers and sizes: no allocation, no threads, no errors.
// Kernel translation units include only <cstddef>, <cstdint>, intrinsics and kernel headers, so that
// nothing compiled for a wide ISA can be picked by the linker for everyone.
//
// Families:
//   exact   one query against one row, float64, in one canonical order: the same bits on every level
//   rows    one query against consecutive rows, fast low-precision dots written to a small buffer
//   panel   up to 64 queries against a block of rows: scores live in registers and tiles, only pairs
//           whose upper bound reaches the query's threshold leave the kernel
//   nearest the best of many short vectors for a few rows, in float32
//   lanes   64 rows side by side: nearest centroids, products with a matrix
//   adapt   rows times a matrix, softmax and the like: what transforms do to queries
//   codes   codes of quantizers: making them, one query against consecutive ones
//   gathered one query against rows anywhere in memory: the inner loop of walks over a graph
//   rotated the fast rotation, the grid its codes live on and scans over them, see rotated.h
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/rotated.h"

namespace nearfield::kernels {

inline constexpr std::size_t kGroup = 16;     // queries side by side in one packed group
inline constexpr std::size_t kMaxGroups = 4;  // groups in one panel
inline constexpr std::size_t kPanelLanes = kGroup * kMaxGroups;
inline constexpr std::size_t kDepthStep = 64;      // bytes of a row consumed by one tile
inline constexpr std::size_t kMaxPanelRows = 256;  // rows of one panel call
inline constexpr std::size_t kNearestRows = 32;    // rows of one nearest_f32 call

/// Pairs that may belong to the answer, as two parallel arrays.
struct PanelHits {
    float* upper;         // upper bound on the score, see PanelArgs
    std::uint32_t* pair;  // row in the block * kPanelLanes + lane in the panel
};

/// Entries past the last hit that a kernel may overwrite.
inline constexpr std::size_t kHitSlack = kGroup;

/// One block of rows against one panel of queries.
///
/// For row i and lane j the kernel computes, in float32,
///     upper = scale[i] * (init[j] + sum_k row[i][k] * query[j][k])
///             + row_term[0][i] * lane_term[0][j] + row_term[1][i] * lane_term[1][j]
/// (terms: how many of the two products exist) and reports the pair unless upper < threshold[j]: a NaN
/// from overflow is reported, never lost.
/// Row bytes are unsigned, query bytes signed; bfloat16 panels multiply bfloat16 pairs instead.
/// Panel layout: group g, then depth in words of 4 bytes, then 16 queries, 4 bytes each
/// (4 int8 or 2 bfloat16), zero past dim and in unused lanes. depth is a multiple of 64 bytes.
/// Every row must be readable for depth bytes.
struct PanelArgs {
    const std::uint8_t* rows;
    std::size_t stride;  // bytes between rows
    std::size_t count;   // rows in this block, up to kMaxPanelRows
    std::size_t depth;   // bytes per row, rounded up to kDepthStep
    const std::uint8_t* panel;
    std::size_t groups;  // 1 .. kMaxGroups
    const void* init;    // int32 (u8 panels) or float (bf16 panels), groups * 16
    const float* scale;  // per row: zero, or from 2^-100 on
    const float* row_term[2];
    const float* lane_term[2];
    std::size_t terms;
    const float* threshold;  // per lane
};

/// Rows side by side: element k of row r at x[k * kLanes + r].
inline constexpr std::size_t kLanes = 64;

/// out[i][lane] = sum over d of a[i][d] * b[d][lane], kLanes lanes, or as much more if add; leading
/// dimensions in floats.
struct ProductArgs {
    const float* a;
    std::size_t lda;
    std::size_t rows;
    const float* b;
    std::size_t ldb;
    std::size_t depth;
    float* out;
    std::size_t ldo;
    bool add;
};

inline constexpr std::size_t kPanelOutputs = 16;   // columns of a matrix side by side
inline constexpr std::size_t kProductBlock = 128;  // products added before the sum is stored

/// out[i][j] = sum over d of x[i][d] * w[d][j] for j < outputs, or as much more if add; leading
/// dimensions in floats. w[d][j] is weights[j / 16 * panel_step + d * depth_step + j % 16], readable up
/// to the next multiple of 16 outputs. depth >= 1.
struct RowProductArgs {
    const float* x;
    std::size_t ldx;
    std::size_t rows;
    std::size_t depth;
    const float* weights;
    std::size_t panel_step;
    std::size_t depth_step;
    std::size_t outputs;
    float* out;
    std::size_t ldo;
    bool add;
};

inline constexpr std::size_t kFactorStep = 16;  // columns of a FactorArgs come in steps of so many

/// Rows of `depth` doubles times a matrix of depth rows and `width` columns.
struct FactorArgs {
    const double* x;
    std::size_t rows;
    std::size_t depth;
    const double* b;
    std::size_t width;  // a multiple of kFactorStep
    double* out;        // rows x width
};

/// One query against count codes of dim bytes each: a byte c of element k stands for
/// base[k] + step[k] * c. query, base and step reach to the next multiple of 32 and are zero there.
struct ScalarArgs {
    const float* query;
    const float* base;
    const float* step;
    std::size_t dim;
    const std::uint8_t* codes;
    std::size_t count;
};

inline constexpr std::size_t kScanRows = 32;    // rows of one block of 4-bit codes
inline constexpr std::size_t kScanQueries = 4;  // queries of one pass
inline constexpr std::size_t kScanChunk = 128;  // bytes of 8 sub-quantizers, codes or tables
inline constexpr std::size_t kScanSlack = 16;   // entries past the last hit that may be overwritten

/// 4-bit codes against tables of 16 bytes: the hits of query i are the rows whose sum of m table
/// entries is at least threshold[i], in ascending order. Sums stay below 2^16.
/// A block is `chunks` times 32 words of 4 bytes, word r being bytes 4 c to 4 c + 3 of row r's code;
/// the tables of a query are `chunks` times 128 bytes: those of sub-quantizers 8 c + 0, 2, 4, 6, then
/// 8 c + 1, 3, 5, 7, so that low nibbles meet the first half.
struct ScanArgs {
    const std::uint8_t* codes;
    std::size_t chunks;
    std::size_t rows;
    const std::uint8_t* tables;  // queries * chunks * kScanChunk bytes
    std::size_t queries;         // 1 .. kScanQueries
    const std::uint32_t* threshold;
    std::uint32_t* sum;    // of query i from i * capacity on
    std::uint32_t* row;    // likewise
    std::size_t capacity;  // at least rows + kScanSlack
    std::size_t* found;    // how many hits, per query
};

struct KernelTable {
    const char* name;

    // exact: canonical float64 order, see generic/exact.h. The query is float32;
    // int8 rows are stored in excess-128 bytes (value + 128), the form the scans read.
    double (*ip_f32)(const float* q, const float* x, std::size_t dim) noexcept;
    double (*ip_f16)(const float* q, const std::uint16_t* x, std::size_t dim) noexcept;
    double (*ip_bf16)(const float* q, const std::uint16_t* x, std::size_t dim) noexcept;
    double (*ip_i8)(const float* q, const std::uint8_t* x, std::size_t dim) noexcept;
    double (*ip_u8)(const float* q, const std::uint8_t* x, std::size_t dim) noexcept;
    /// ip(high, x) + ip(low, x), bit for bit.
    double (*folded_ip_f32)(const float* high, const float* low, const float* x,
                            std::size_t dim) noexcept;
    double (*folded_ip_f16)(const float* high, const float* low, const std::uint16_t* x,
                            std::size_t dim) noexcept;
    double (*folded_ip_bf16)(const float* high, const float* low, const std::uint16_t* x,
                             std::size_t dim) noexcept;
    double (*folded_ip_i8)(const float* high, const float* low, const std::uint8_t* x,
                           std::size_t dim) noexcept;
    double (*folded_ip_u8)(const float* high, const float* low, const std::uint8_t* x,
                           std::size_t dim) noexcept;
    double (*l2_f32)(const float* q, const float* x, std::size_t dim) noexcept;
    double (*l2_f16)(const float* q, const std::uint16_t* x, std::size_t dim) noexcept;
    double (*l2_bf16)(const float* q, const std::uint16_t* x, std::size_t dim) noexcept;
    double (*l2_i8)(const float* q, const std::uint8_t* x, std::size_t dim) noexcept;
    double (*l2_u8)(const float* q, const std::uint8_t* x, std::size_t dim) noexcept;
    std::uint32_t (*hamming_u1)(const std::uint8_t* a, const std::uint8_t* b,
                                std::size_t bytes) noexcept;
    std::uint32_t (*ip_u1)(const std::uint8_t* a, const std::uint8_t* b,
                           std::size_t bytes) noexcept;

    /// Sums in the order of k, the same bits on every level; see generic/factors.h. Of float32 values.
    void (*factor_products)(const FactorArgs& args) noexcept;
    /// The same of any values: each product is rounded before it is added.
    void (*rounded_products)(const FactorArgs& args) noexcept;

    /// high + low = x + added, but for what 48 bits leave out; added may be null, high and low are apart.
    void (*split_f64)(const double* x, const float* added, std::size_t n, float* high,
                      float* low) noexcept;

    // conversion, round to nearest even
    void (*f32_from_f16)(const std::uint16_t* in, float* out, std::size_t n) noexcept;
    void (*f32_from_bf16)(const std::uint16_t* in, float* out, std::size_t n) noexcept;
    void (*f16_from_f32)(const float* in, std::uint16_t* out, std::size_t n) noexcept;
    void (*bf16_from_f32)(const float* in, std::uint16_t* out, std::size_t n) noexcept;
    /// max |x|; NaN and infinity give +infinity.
    float (*max_abs)(const float* x, std::size_t n) noexcept;
    /// code[k] = round(x[k] * inverse) + 128, rounded to nearest even, clamped to 1..255.
    void (*quantize_u8)(const float* x, std::size_t n, float inverse, std::uint8_t* code) noexcept;
    /// sum over k of (x[k] - scale * (code[k] - 128))^2, canonical order.
    double (*residual_u8)(const float* x, const std::uint8_t* code, double scale,
                          std::size_t n) noexcept;

    // rows: out[i] = init + sum_k row[i][k] * q[k]; depth as in PanelArgs, q zero past dim.
    void (*rows_u8)(const std::uint8_t* rows, std::size_t stride, std::size_t count,
                    const std::int8_t* q, std::size_t depth, std::int32_t init,
                    std::int32_t* out) noexcept;

    // panel: returns how many hits were written; there is room for count * groups * 16 + kHitSlack.
    std::size_t (*panel_u8)(const PanelArgs& args, const PanelHits& hits) noexcept;
    std::size_t (*panel_bf16)(const PanelArgs& args, const PanelHits& hits) noexcept;

    /// sum[d] += row ids[i], element d, for i = 0, 1, ... in this order; rows lie stride bytes apart.
    void (*sum_rows_f32)(const float* rows, std::size_t stride, const std::uint32_t* ids,
                         std::size_t n, std::size_t dim, double* sum) noexcept;
    /// Inner product in float32, off by at most (dim / 32 + 8) 2^-24 sum_k |a[k] b[k]| + dim 2^-126.
    float (*dot_f32)(const float* a, const float* b, std::size_t dim) noexcept;

    /// For each of kNearestRows rows of dim floats (element d of row i at rows[d * kNearestRows + i]) the
    /// j < k with the largest score <row, centroids + j * dim> - shortfall[j], ties to the smaller one; that
    /// score, and how far it is ahead of every other (infinity for k = 1). Elements are added in rising
    /// order to minus the shortfall; whether products are rounded first depends on the level. Finite input.
    void (*nearest_f32)(const float* rows, std::size_t dim, const float* centroids,
                        const float* shortfall, std::size_t k, std::uint32_t* nearest, float* best,
                        float* lead) noexcept;
    /// The rank-th largest of n values (1: the largest). 1 <= rank <= n < 2^32, no NaN.
    float (*nth_largest_f32)(const float* x, std::size_t n, std::size_t rank) noexcept;
    // lanes: fused multiply-adds in the order of d, see generic/lanes.h.
    void (*lanes_from_rows)(const float* rows, std::size_t stride, std::size_t count,
                            std::size_t dim, float* out) noexcept;
    /// x[k][lane] = (x[k][lane] - centre[k]) * scale[k], within +-limit.
    void (*centre_lanes)(float* x, std::size_t depth, const float* centre, const float* scale,
                         float limit) noexcept;
    void (*multiply_lanes)(const ProductArgs& args) noexcept;
    /// The smallest c with the smallest bias[c] + sum over d of weights[c][d] * x[d][lane]; k is a
    /// multiple of 4.
    void (*nearest_lanes)(const float* x, std::size_t depth, const float* weights,
                          const float* bias, std::size_t k, std::uint32_t* nearest) noexcept;

    // adapt: one order of sums and fused multiply-adds, the same bits on every level, see
    // generic/multiply.h and generic/exponential.h. NaN and infinity in, NaN or infinity out.
    void (*multiply_rows_f32)(const RowProductArgs& args) noexcept;
    /// sum[j] += sum over i < n of weights[i] * rows[ids[i] * stride + j], j < dim.
    void (*add_weighted_rows_f32)(const float* rows, std::size_t stride, const std::uint32_t* ids,
                                  const float* weights, std::size_t n, std::size_t dim,
                                  float* sum) noexcept;
    /// x = exp(x - max x) / sum of these; n >= 1.
    void (*softmax_f32)(float* x, std::size_t n) noexcept;
    /// out = exp(z - max z) * x; n >= 1.
    void (*modulate_f32)(const float* z, const float* x, std::size_t n, float* out) noexcept;
    void (*logistic_f32)(float* x, std::size_t n) noexcept;
    void (*tanh_f32)(float* x, std::size_t n) noexcept;

    // codes: canonical float32 order, see generic/lookup.h. Scores are larger-is-better.
    /// code = (x - low) * inverse cut to a whole number in 0..most. low and inverse reach to the next
    /// multiple of 32.
    void (*scalar_codes)(const float* x, const float* low, const float* inverse, float most,
                         std::size_t n, std::uint8_t* code) noexcept;
    void (*scalar_ip)(const ScalarArgs& args, float* out) noexcept;
    void (*scalar_l2)(const ScalarArgs& args, float* out) noexcept;
    /// out[c] = sum over d of q[d] * centroid c[d], or minus their squared distance; k centroids side by
    /// side (centroids[d * k + c]), k a multiple of 16. Fused multiply-adds in the order of d.
    void (*table_ip)(const float* q, std::size_t dim, const float* centroids, std::size_t k,
                     float* out) noexcept;
    void (*table_l2)(const float* q, std::size_t dim, const float* centroids, std::size_t k,
                     float* out) noexcept;
    /// out[i] = sum over j < m of tables[j * k + codes[i * m + j]]; tables reach to the next multiple
    /// of 32 sub-quantizers and are zero there.
    void (*table_sums_u8)(const float* tables, std::size_t k, const std::uint8_t* codes,
                          std::size_t m, std::size_t count, float* out) noexcept;
    void (*table_sums_u16)(const float* tables, std::size_t k, const std::uint16_t* codes,
                           std::size_t m, std::size_t count, float* out) noexcept;

    void (*scan_u4)(const ScanArgs& args) noexcept;
    // rotated: the same bits on every level.
    void (*rotate_f32)(float* x, const RotationPlan& plan) noexcept;
    /// The transposed matrix, which is the inverse.
    void (*rotate_back_f32)(float* x, const RotationPlan& plan) noexcept;
    /// v = x * inverse; n is a multiple of kGridLanes. Lanes are added pairwise, as exact sums.
    void (*fit_grid_f32)(const float* x, std::size_t n, float inverse, float half,
                         GridFit* fit) noexcept;
    /// code = y + half - 0.5, a byte; n as above.
    void (*grid_codes_f32)(const float* x, std::size_t n, float inverse, float half,
                           std::uint8_t* code) noexcept;
    /// Bit planes of n bytes below 2^bits, highest bit first, n / 8 bytes each; bit j of a byte is element
    /// 8 * byte + j. n is a multiple of 8.
    void (*pack_planes)(const std::uint8_t* code, std::size_t n, std::size_t bits,
                        std::uint8_t* planes) noexcept;
    void (*unpack_planes)(const std::uint8_t* planes, std::size_t n, std::size_t bits,
                          std::uint8_t* code) noexcept;
    /// Rows of nibbles, 128 elements in 64 bytes: byte j holds element j in its low half and element
    /// j + 64 in its high half. out[i] = init + sum of row[i][k] * q[k]; depth in bytes, a multiple of 64.
    void (*rows_u4)(const std::uint8_t* rows, std::size_t stride, std::size_t count,
                    const std::int8_t* q, std::size_t depth, std::int32_t init,
                    std::int32_t* out) noexcept;
    // gathered: rows by number, each readable for depth bytes from any address and for no more; numbers may
    // repeat. depth is a multiple of 64. Exact sums: the same on every level.
    /// out[i] = sum over k < depth of rows[ids[i] * stride + k] * q[k], whatever the bytes are.
    void (*gather_u8)(const std::uint8_t* rows, std::size_t stride, const std::uint32_t* ids,
                      std::size_t count, const std::int8_t* q, std::size_t depth,
                      std::int32_t* out) noexcept;
    /// The same of rows of nibbles, as rows_u4 has them; q has 2 * depth elements.
    void (*gather_u4)(const std::uint8_t* rows, std::size_t stride, const std::uint32_t* ids,
                      std::size_t count, const std::int8_t* q, std::size_t depth,
                      std::int32_t* out) noexcept;

    /// Returns how many hits were written.
    std::size_t (*scan_signs)(const SignScan& scan, const SignHits& hits) noexcept;

    /// Largest |query code| panel_u8 and rows_u8 take without overflow (127, or 63 where pairs of
    /// products are summed in 16 bits).
    std::int32_t query_limit;
    /// About how many byte products one bfloat16 product of the panels costs.
    std::int32_t bf16_price;
};

}  // namespace nearfield::kernels

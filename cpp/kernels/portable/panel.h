// Portable panel policies: 16 lanes as an array the compiler may vectorise for its baseline.
#pragma once

#include "kernels/generic/element.h"
#include "kernels/generic/panel.h"

namespace nearfield::kernels {
namespace {

template <class T>
struct Lanes {
    T v[kGroup];
};

struct EpilogueScalar {
    using Upper = Lanes<float>;
    static std::size_t emit(std::uint32_t mask, const Upper& upper, std::uint32_t pair,
                            const PanelHits& hits, std::size_t n) noexcept {
        return emit_scalar(mask, upper.v, pair, hits, n);
    }
    template <class T>
    static std::uint32_t compare(const PanelArgs& a, const Lanes<T>& raw, std::size_t row,
                                 std::size_t group, Upper& upper) noexcept {
        std::uint32_t mask = 0;
        for (std::size_t j = 0; j < kGroup; ++j) {
            float value = static_cast<float>(raw.v[j]) * a.scale[row];
            for (std::size_t t = 0; t < a.terms; ++t) {
                value += a.lane_term[t][group * kGroup + j] * a.row_term[t][row];
            }
            upper.v[j] = value;
            mask |= static_cast<std::uint32_t>(!(value < a.threshold[group * kGroup + j])) << j;
        }
        return mask;
    }
    template <class T>
    static std::uint32_t upper(const PanelArgs& a, const Lanes<T>& raw, std::size_t row,
                               std::size_t group, Upper& out) noexcept {
        return compare(a, raw, row, group, out);
    }
};

struct PanelU8 : EpilogueScalar {
    using Acc = Lanes<std::int32_t>;
    using Query = const std::int8_t*;
    using Word = const std::uint8_t*;
    static constexpr std::size_t kAccumulators = 4;
    static Acc load_init(const void* init, std::size_t group) noexcept {
        Acc acc;
        __builtin_memcpy(acc.v, static_cast<const std::int32_t*>(init) + group * kGroup,
                         sizeof acc.v);
        return acc;
    }
    static Query load_query(const std::uint8_t* p) noexcept {
        return reinterpret_cast<const std::int8_t*>(p);
    }
    static Word broadcast(const std::uint8_t* p) noexcept { return p; }
    static Acc dot(Acc acc, Word row, Query query) noexcept {
        for (std::size_t j = 0; j < kGroup; ++j) {
            acc.v[j] += row[0] * query[4 * j] + row[1] * query[4 * j + 1] +
                        row[2] * query[4 * j + 2] + row[3] * query[4 * j + 3];
        }
        return acc;
    }
};

struct PanelBF16 : EpilogueScalar {
    using Acc = Lanes<float>;
    using Query = const std::uint8_t*;
    struct Word {
        float even, odd;
    };
    static constexpr std::size_t kAccumulators = 4;
    static Acc load_init(const void* init, std::size_t group) noexcept {
        Acc acc;
        __builtin_memcpy(acc.v, static_cast<const float*>(init) + group * kGroup, sizeof acc.v);
        return acc;
    }
    static Query load_query(const std::uint8_t* p) noexcept { return p; }
    /// One load of 4 bytes: from 2-byte loads of several rows GCC 12.2 makes vector loads that reach
    /// past the last row.
    static Word broadcast(const std::uint8_t* p) noexcept {
        std::uint32_t word;
        __builtin_memcpy(&word, p, sizeof word);
        return {float_from_bits(word << 16), float_from_bits(word & 0xffff0000u)};
    }
    static float half(const std::uint8_t* p) noexcept {
        BF16 x;
        __builtin_memcpy(&x, p, sizeof x);
        return to_float(x);
    }
    static Acc dot(Acc acc, Word row, Query query) noexcept {
        for (std::size_t j = 0; j < kGroup; ++j) {
            acc.v[j] += row.even * half(query + 4 * j);
            acc.v[j] += row.odd * half(query + 4 * j + 2);
        }
        return acc;
    }
};

}  // namespace
}  // namespace nearfield::kernels

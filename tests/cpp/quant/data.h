// Rows and queries that error bounds get wrong first, in every storage type.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/types.h"
#include "kernels/resolve.h"

namespace data {

using nearfield::DType;
using nearfield::Random;

/// Rows as a caller hands them over: dense, int8 as plain int8.
struct Rows {
    DType dtype = DType::kF32;
    std::size_t count = 0;
    std::size_t dim = 0;
    std::vector<std::uint8_t> bytes{};

    const void* row(std::size_t i) const {
        return bytes.data() + i * dim * nearfield::size_of(dtype);
    }
};

inline const char* name_of(DType dtype) {
    const char* const names[] = {"float32", "float16", "bfloat16", "int8", "uint8"};
    return names[static_cast<std::size_t>(dtype)];
}

inline bool is_integer(DType dtype) { return dtype == DType::kI8 || dtype == DType::kU8; }

/// The largest finite value worth drawing in a storage type.
inline double largest(DType dtype) { return dtype == DType::kF16 ? 6e4 : 1e30; }

inline Rows store(DType dtype, std::size_t count, std::size_t dim, const std::vector<float>& x) {
    Rows rows{dtype, count, dim, {}};
    rows.bytes.resize(x.size() * nearfield::size_of(dtype));
    const auto& table = nearfield::kernels::table_for(nearfield::Isa::kPortable);
    auto* halves = reinterpret_cast<std::uint16_t*>(rows.bytes.data());
    switch (dtype) {
        case DType::kF32: std::memcpy(rows.bytes.data(), x.data(), rows.bytes.size()); break;
        case DType::kF16: table.f16_from_f32(x.data(), halves, x.size()); break;
        case DType::kBF16: table.bf16_from_f32(x.data(), halves, x.size()); break;
        case DType::kI8:
            for (std::size_t k = 0; k < x.size(); ++k) {
                const float v = std::clamp(std::nearbyint(x[k]), -128.0f, 127.0f);
                rows.bytes[k] = static_cast<std::uint8_t>(static_cast<std::int8_t>(v));
            }
            break;
        case DType::kU8:
            for (std::size_t k = 0; k < x.size(); ++k) {
                const float v = std::clamp(std::nearbyint(x[k]), 0.0f, 255.0f);
                rows.bytes[k] = static_cast<std::uint8_t>(v);
            }
            break;
    }
    return rows;
}

inline double gaussian(Random& random) {
    double sum = -6.0;
    for (int i = 0; i < 12; ++i) sum += random.uniform_double();
    return sum;
}

inline const std::vector<std::string>& kinds() {
    static const std::vector<std::string> all{
        "gaussian", "outlier",   "lone_outlier", "wild_norms", "tiny",       "huge",
        "zeros",    "constant",  "duplicates",   "near_ties",  "offset",     "integers",
        "extremes", "subnormal", "sparse",       "halfway",    "wide_norms", "flushed"};
    return all;
}

/// count x dim values of one kind, drawn in float64 and rounded to what float32 holds.
inline std::vector<float> draw(const std::string& kind, std::size_t count, std::size_t dim,
                               double most, Random& random) {
    std::vector<float> x(count * dim);
    std::vector<double> first(dim);
    for (double& v : first) v = gaussian(random);
    for (std::size_t i = 0; i < count; ++i) {
        const double wild = std::pow(10.0, random.uniform_double() * 40.0 - 20.0);
        const double level = std::nearbyint(gaussian(random) * 3.0);
        const bool zero = random.below(2) == 0;
        for (std::size_t k = 0; k < dim; ++k) {
            const double g = gaussian(random);
            double v = g;
            if (kind == "outlier") v = k == dim / 2 ? 3e4 + g : g;
            if (kind == "lone_outlier") v = i == count / 3 && k == dim - 1 ? 5e4 : g * 1e-3;
            if (kind == "wild_norms") v = g * wild;
            if (kind == "tiny") v = g * 1e-20;
            if (kind == "huge") v = g * 1e20;
            if (kind == "zeros") v = zero ? 0.0 : g;
            if (kind == "constant") v = level;
            if (kind == "duplicates") v = first[k];
            if (kind == "near_ties") v = first[k] * (1.0 + std::nearbyint(g) * 0x1p-23);
            if (kind == "offset") v = 1e4 + g * 1e-2;
            if (kind == "integers") v = std::nearbyint(g * 50.0);
            if (kind == "extremes") v = g < 0 ? -1e9 : 1e9;
            if (kind == "subnormal") v = std::nearbyint(g * 9.0) * 0x1p-149;
            if (kind == "sparse") v = g > 1.3 ? g : 0.0;
            // What bfloat16 loses most of, and all errors with the sign of the value.
            if (kind == "halfway") v = (first[k] < 0 ? -1 : 1) * (1 + 0x1p-8 - 0x1p-23);
            // As far as bfloat16 rows are scanned in place.
            if (kind == "wide_norms") v = g * std::pow(wild, 0.85);
            if (kind == "flushed") v = random.below(2) == 0 ? g * 0x1p-130 : level;
            x[i * dim + k] = static_cast<float>(std::clamp(v, -most, most));
        }
    }
    return x;
}

}  // namespace data

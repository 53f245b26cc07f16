// What an index that looks at every row must answer, by a map and double loops: every live vector in the order it was added,
// scores in float64, ties to the smaller label. Values are small multiples of 1/4, so that every sum is
// exact in float64 in any order and equal scores are really equal.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/types.h"
#include "index/flat/flat_index.h"
#include "index/row_coding.h"

namespace oracle {

using nearfield::DType;
using nearfield::Metric;
using nearfield::Random;

struct Row {
    std::int64_t label;
    std::vector<float> x;
};

struct Scored {
    std::int64_t label;
    double key;  // larger is better
    float score;
};

/// A value every storage type holds: a multiple of 1/4, integers for integer types.
inline float draw_value(DType dtype, Random& random) {
    if (dtype == DType::kU8) return static_cast<float>(random.below(6));
    const float v = static_cast<float>(random.below(17)) - 8.0f;
    return dtype == DType::kI8 ? v : v / 4.0f;
}

inline std::vector<float> draw(DType dtype, std::size_t n, Random& random) {
    std::vector<float> x(n);
    for (float& v : x) v = draw_value(dtype, random);
    return x;
}

/// Such values in the bytes of a storage type, int8 as plain int8.
inline std::vector<std::uint8_t> pack(DType dtype, const std::vector<float>& x) {
    std::vector<std::uint8_t> bytes(x.size() * nearfield::size_of(dtype));
    for (std::size_t k = 0; k < x.size(); ++k) {
        std::uint32_t bits;
        std::memcpy(&bits, &x[k], sizeof bits);
        std::uint16_t half = static_cast<std::uint16_t>(bits >> 16);
        if (dtype == DType::kF16) {
            const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
            const auto magnitude =
                (bits & 0x7fffffffu) == 0 ? 0u : (bits & 0x7fffffffu) - 0x38000000u;
            half = static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(magnitude >> 13));
        }
        switch (dtype) {
            case DType::kF32: std::memcpy(bytes.data() + 4 * k, &bits, 4); break;
            case DType::kF16:
            case DType::kBF16: std::memcpy(bytes.data() + 2 * k, &half, 2); break;
            case DType::kI8:
                bytes[k] = static_cast<std::uint8_t>(static_cast<std::int8_t>(x[k]));
                break;
            case DType::kU8: bytes[k] = static_cast<std::uint8_t>(x[k]); break;
        }
    }
    return bytes;
}

inline Scored score(Metric metric, const float* q, const Row& row) {
    double ip = 0, l2 = 0, x2 = 0, q2 = 0;
    for (std::size_t k = 0; k < row.x.size(); ++k) {
        const double a = q[k];
        const double b = row.x[k];
        ip += a * b;
        l2 += (a - b) * (a - b);
        x2 += b * b;
        q2 += a * a;
    }
    if (metric == Metric::kIp) return {row.label, ip, static_cast<float>(ip)};
    if (metric == Metric::kL2) return {row.label, -l2, static_cast<float>(l2)};
    const double key = x2 > 0 ? ip / std::sqrt(x2) : 0.0;
    return {row.label, key, static_cast<float>(q2 > 0 ? key / std::sqrt(q2) : 0.0)};
}

/// All rows that pass, best first.
inline std::vector<Scored> ranked(Metric metric, const float* q, const std::vector<Row>& rows,
                                  const std::vector<std::uint8_t>* mask) {
    std::vector<Scored> all;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (mask == nullptr || (*mask)[i] != 0) all.push_back(score(metric, q, rows[i]));
    }
    std::sort(all.begin(), all.end(), [](const Scored& a, const Scored& b) {
        return a.key > b.key || (a.key == b.key && a.label < b.label);
    });
    return all;
}

/// What kind of index a test makes: of lists, of a graph with so many links, else a flat one.
struct Shape {
    std::size_t lists = 0;
    std::size_t links = 0;
};
inline constexpr Shape kFlat{};

/// Results of one search call.
struct Found {
    std::vector<std::int64_t> ids;
    std::vector<float> scores;
    std::vector<std::int64_t> counts;
};

/// Rows that are kept and found by a quantizer's codes.
inline std::shared_ptr<const nearfield::RowCoding> kept(const std::string& quantizer,
                                                        std::size_t dim, bool residual) {
    auto coding = std::make_shared<nearfield::RowCoding>();
    coding->quantizer = nearfield::make_quantizer(quantizer, dim);
    coding->keeps_rows = true;
    coding->residual = residual;
    return coding;
}

/// By signs.
inline std::shared_ptr<const nearfield::RowCoding> signs(std::size_t dim, bool residual) {
    return kept("rabitq1", dim, residual);
}

inline Found search(const nearfield::Index& index, const std::vector<float>& queries,
                    std::size_t dim, std::size_t k, const std::vector<std::uint8_t>* mask,
                    int threads, std::size_t nprobe = SIZE_MAX, std::size_t ef_search = SIZE_MAX,
                    std::vector<nearfield::AdapterShare> shares = {}) {
    const std::size_t n = queries.size() / dim;
    Found found{std::vector<std::int64_t>(n * k, 7), std::vector<float>(n * k, 7.0f),
                std::vector<std::int64_t>(n, 7)};
    nearfield::SearchOptions options;
    options.rerank = std::size_t{1} << 20;  // all rows: what was kept decides
    if (mask != nullptr) options.mask = nearfield::Mask(*mask);
    options.threads = threads;
    options.nprobe = nprobe;
    options.ef_search = ef_search;
    options.epsilon = std::numeric_limits<double>::infinity();  // sign planes lose nothing then
    options.corpus_adapters = std::move(shares);
    index.search({queries.data(), n, dim}, k, options,
                 {found.ids.data(), found.scores.data(), found.counts.data()});
    return found;
}

}  // namespace oracle

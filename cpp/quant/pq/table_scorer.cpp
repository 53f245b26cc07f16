// Asymmetric scores: a query's score with a decoded row is a sum of m table entries, because both ip and
// l2 are sums over sub-spaces. Cost: 2^nbits * dim multiply-adds a query, m look-ups a row.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/resolve.h"
#include "quant/packing.h"
#include "quant/pq/codebooks.h"

namespace nearfield {
namespace {

constexpr std::size_t kScoredRows = 64;  // codes unpacked at a time

class TableScorer final : public CodeScorer {
public:
    TableScorer(const CodebookShape& shape, std::vector<float> tables)
        : shape_(shape), tables_(std::move(tables)) {
        if (shape.nbits == 4) bytes_.resize(kScoredRows * shape.m);
        if (shape.nbits != 4 && shape.nbits != 8) words_.resize(kScoredRows * shape.m);
    }

    void scores(const std::uint8_t* codes, std::size_t n, float* out) const noexcept override {
        const auto& kernel = kernels::active();
        if (shape_.nbits == 8) {
            kernel.table_sums_u8(tables_.data(), shape_.k(), codes, shape_.m, n, out);
            return;
        }
        for (std::size_t first = 0; first < n; first += kScoredRows) {
            const std::size_t count = std::min(kScoredRows, n - first);
            unpack(codes + first * shape_.code_size(), count);
            if (shape_.nbits == 4) {
                kernel.table_sums_u8(tables_.data(), shape_.k(), bytes_.data(), shape_.m, count,
                                     out + first);
            } else {
                kernel.table_sums_u16(tables_.data(), shape_.k(), words_.data(), shape_.m, count,
                                      out + first);
            }
        }
    }

private:
    void unpack(const std::uint8_t* codes, std::size_t count) const noexcept {
        const std::size_t bytes = shape_.code_size();
        for (std::size_t i = 0; i < count; ++i, codes += bytes) {
            if (shape_.nbits == 4) {
                unpack_nibbles(codes, shape_.m, bytes_.data() + i * shape_.m);
                continue;
            }
            for (std::size_t j = 0; j < shape_.m; ++j) {
                words_[i * shape_.m + j] =
                    static_cast<std::uint16_t>(get_number(codes, bytes, j, shape_.nbits));
            }
        }
    }

    CodebookShape shape_;
    std::vector<float> tables_;
    mutable std::vector<std::uint8_t> bytes_;  // a scorer belongs to one thread
    mutable std::vector<std::uint16_t> words_;
};

}  // namespace

std::vector<float> Codebooks::score_tables(Metric metric, const float* query) const {
    const auto& kernel = kernels::active();
    const std::size_t width = shape_.sub_dim();
    const std::size_t k = shape_.k();
    std::vector<float> tables(round_up(shape_.m, 32) * k, 0.0f);
    const auto fill = metric == Metric::kL2 ? kernel.table_l2 : kernel.table_ip;
    for (std::size_t j = 0; j < shape_.m; ++j) {
        fill(query + j * width, width, side_by_side_.data() + j * width * k, k,
             tables.data() + j * k);
    }
    return tables;
}

std::unique_ptr<CodeScorer> Codebooks::make_scorer(Metric metric, const float* query) const {
    return std::make_unique<TableScorer>(shape_, score_tables(metric, query));
}

}  // namespace nearfield

// QuerySubset: some queries of a batch, asked once more, and where their answers go.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/view.h"
#include "index/search.h"

namespace nearfield {

class QuerySubset {
public:
    QuerySubset(MatrixView<float> all, std::vector<std::size_t> numbers, std::size_t k)
        : numbers_(std::move(numbers)),
          dim_(all.cols),
          width_(all.stride / sizeof(float)),
          k_(k),
          queries_(numbers_.size() * width_),
          ids_(numbers_.size() * k),
          scores_(numbers_.size() * k),
          counts_(numbers_.size()) {
        for (std::size_t i = 0; i < numbers_.size(); ++i) {
            std::copy_n(all.row(numbers_[i]), width_, queries_.data() + i * width_);
        }
    }

    MatrixView<float> queries() const noexcept {
        return {queries_.data(), numbers_.size(), dim_, width_ * sizeof(float)};
    }
    TopKOut answers() noexcept { return {ids_.data(), scores_.data(), counts_.data()}; }

    /// Copies the answers to where the whole batch has its own.
    void deliver(const TopKOut& out) const {
        for (std::size_t i = 0; i < numbers_.size(); ++i) {
            const std::size_t query = numbers_[i];
            std::copy_n(ids_.data() + i * k_, k_, out.ids + query * k_);
            std::copy_n(scores_.data() + i * k_, k_, out.scores + query * k_);
            out.counts[query] = counts_[i];
        }
    }

private:
    std::vector<std::size_t> numbers_;
    std::size_t dim_;
    std::size_t width_;  // what lies between rows belongs to them, see FoldedRows
    std::size_t k_;
    std::vector<float> queries_;
    std::vector<std::int64_t> ids_;
    std::vector<float> scores_;
    std::vector<std::int64_t> counts_;
};

}  // namespace nearfield

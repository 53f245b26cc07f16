// RowBlocks: the rows of a batch in blocks that threads work on one by one.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/parallel.h"
#include "transform/transform.h"

namespace nearfield {

/// Few rows are spread over all threads; no block is larger than Transform::kBlockRows.
class RowBlocks {
public:
    struct Block {
        std::size_t first;
        std::size_t rows;
    };

    RowBlocks(std::size_t rows, int threads) : rows_(rows) {
        const auto workers = static_cast<std::size_t>(max_workers(threads));
        size_ = std::clamp((rows + workers - 1) / workers, std::size_t{1}, Transform::kBlockRows);
    }
    std::size_t count() const noexcept { return (rows_ + size_ - 1) / size_; }
    Block block(std::size_t i) const noexcept {
        return {i * size_, std::min(size_, rows_ - i * size_)};
    }

private:
    std::size_t rows_;
    std::size_t size_;
};

}  // namespace nearfield

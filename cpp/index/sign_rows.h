// SignRows: the sign planes of a store's rows, as snapshots share them.
//
// Whole blocks of 32 rows lie in columns that grow in place. The rows of the last block, where it is not
// full, lie in a block of this snapshot alone: a writer that completes it copies it and disturbs nobody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/buffer.h"
#include "index/column.h"
#include "quant/rabitq/sign_blocks.h"

namespace nearfield {

class SignRows {
public:
    std::size_t count() const noexcept { return count_; }

    /// Room for rows [count(), count() + n), and where to write them: block(row / 32). Whatever stands there of
    /// earlier rows has been copied.
    class Writer {
    public:
        /// Block b, from the one of the first new row on.
        SignBlock block(std::size_t b) const noexcept;

    private:
        friend class SignRows;
        std::size_t first_block_;
        std::size_t whole_;  // blocks that are in the columns, these included
        std::size_t bytes_;
        SignBlock columns_;  // of first_block_
        SignBlock tail_;
    };
    Writer extend(std::size_t n, std::size_t plane_size);

    /// The rows of whole blocks, and those behind them.
    SignView whole() const noexcept;
    SignView tail() const noexcept;

    std::size_t bytes() const noexcept;

private:
    static SignBlock block_in(Buffer& tail, std::size_t plane_size);

    std::size_t count_ = 0;
    std::size_t plane_size_ = 0;
    Column planes_;
    Column scale_;
    Column bias_;
    Column error_;
    std::shared_ptr<const Buffer> tail_;  // null where all blocks are whole
};

}  // namespace nearfield

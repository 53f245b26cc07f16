// RowSource: rows that lie anywhere, some of which can be had as float32.
//
// What k-means reads of single rows (starts, halves of large clusters) goes through it, so that a clustering
// of rows on a device starts and splits as one of rows in memory. Cost: a copy of what is asked for.
// Source: own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/types.h"
#include "base/view.h"

namespace nearfield {

struct RowSource {
    std::size_t rows = 0;
    std::size_t cols = 0;
    /// The rows of these numbers, one after another.
    std::function<std::vector<float>(std::span<const Id>)> gather;
};

/// Rows in memory, which must outlive the result.
inline RowSource source_of(MatrixView<float> rows) {
    return {rows.rows, rows.cols, [rows](std::span<const Id> ids) {
                std::vector<float> out(ids.size() * rows.cols);
                for (std::size_t i = 0; i < ids.size(); ++i) {
                    std::copy_n(rows.row(ids[i]), rows.cols, out.data() + i * rows.cols);
                }
                return out;
            }};
}

}  // namespace nearfield

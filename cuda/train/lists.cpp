#include "cuda/train/lists.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "base/interrupt.h"
#include "cuda/train/kmeans.h"
#include "cuda/train/transfer.h"

namespace nearfield::cuda {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{64} << 20;

DeviceBuffer copied(const StreamRef& stream, const RowsView& rows) {
    const std::size_t row_bytes = rows.cols * size_of(rows.dtype);
    DeviceBuffer there(stream, rows.rows * row_bytes);
    if (rows.stride == row_bytes) {
        copy_to_device(stream, there.address(), rows.data, rows.rows * row_bytes);
        return there;
    }
    for (std::size_t i = 0; i < rows.rows; ++i) {
        copy_to_device(stream, there.address() + i * row_bytes, rows.row(i), row_bytes);
    }
    return there;
}

}  // namespace

std::vector<Id> lists_of(const StreamRef& stream, const RowsView& rows, const float* centroids,
                         std::size_t nlist, Metric metric) {
    std::vector<Id> lists;
    lists.reserve(rows.rows);
    const DeviceBuffer centres = uploaded(stream, centroids, nlist * rows.cols);
    const std::size_t most =
        std::max<std::size_t>(kBlockBytes / (rows.cols * size_of(rows.dtype)), 1);
    for (std::size_t first = 0; first < rows.rows; first += most) {
        checkpoint();
        RowsView block = rows;
        block.data = rows.row(first);
        block.rows = std::min(most, rows.rows - first);
        const DeviceBuffer there = copied(stream, block);
        const DeviceRows view{there.address(), block.rows, rows.cols, rows.cols, rows.dtype};
        const DeviceBuffer scratch(stream, assign_scratch_bytes(view, nlist));
        const DeviceBuffer labels(stream, block.rows * sizeof(std::int64_t));
        assign(stream, view, centres.address(), nlist, metric != Metric::kL2, labels.address(),
               scratch.address());
        for (const auto label : downloaded<std::int64_t>(stream, labels.address(), block.rows)) {
            if (label < 0) {
                throw std::invalid_argument("row " + std::to_string(lists.size()) +
                                            " holds NaN or infinity; expected finite values. "
                                            "Nothing was added");
            }
            lists.push_back(static_cast<Id>(label));
        }
    }
    return lists;
}

}  // namespace nearfield::cuda

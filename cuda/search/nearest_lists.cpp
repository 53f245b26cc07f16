#include "cuda/search/nearest_lists.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/interrupt.h"
#include "base/view.h"
#include "cuda/runtime/memory.h"
#include "cuda/search/topk.h"
#include "index/hnsw/graph_table.h"

namespace nearfield::cuda {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{16} << 20;  // of rows on their way
constexpr std::size_t kQueries = 4096;

/// Rows of a store on a device, and searches among them.
class Lists {
public:
    Lists(const StreamRef& stream, const StoredRows& stored, std::span<const Id> rows,
          bool by_distance, std::size_t wanted)
        : stream_(stream),
          row_bytes_(stored.rows.cols * size_of(stored.rows.dtype)),
          memory_(stream, std::max<std::size_t>(rows.size() * row_bytes_, 1)),
          wanted_(wanted) {
        const std::size_t dim = stored.rows.cols;
        request_.rows = {memory_.address(), rows.size(), dim, dim, stored.rows.dtype};
        request_.k = std::min(wanted, rows.size());
        const Metric metric = stored.codes.spec.metric;
        request_.metric = metric == Metric::kIp && by_distance ? Metric::kL2 : metric;
        upload(stored.rows, rows);
        constants_ = DeviceBuffer(stream, std::max<std::size_t>(constants_bytes(request_.rows), 1));
        if (constants_bytes(request_.rows) != 0) {
            compute_constants(stream, request_.rows, request_.metric, constants_.address());
            request_.constants = constants_.address();
        }
    }

    void find(const TakeNumbers& take) {
        const std::size_t n = request_.rows.rows, most = std::min(kQueries, n);
        const std::size_t k = request_.k;
        const DeviceBuffer ids(stream_, most * k * sizeof(std::int64_t));
        const DeviceBuffer scores(stream_, most * k * sizeof(float));
        const DeviceBuffer counts(stream_, most * sizeof(std::int64_t));
        request_.queries = request_.rows;
        request_.queries.rows = most;
        const DeviceBuffer scratch(stream_, std::max<std::size_t>(scratch_bytes(request_), 1));
        std::vector<std::int64_t> found(most * k);
        std::vector<Id> numbers(most * wanted_, kNoNode);
        for (std::size_t first = 0; first < n; first += most) {
            checkpoint();
            const std::size_t count = std::min(most, n - first);
            request_.queries.address = memory_.address() + first * row_bytes_;
            request_.queries.rows = count;
            topk(stream_, request_, {ids.address(), scores.address(), counts.address()},
                 scratch.address());
            copy_to_host(stream_, found.data(), ids.address(), count * k * sizeof(std::int64_t));
            stream_.synchronize();
            for (std::size_t i = 0; i < count * k; ++i) {
                numbers[i / k * wanted_ + i % k] =
                    found[i] >= 0 ? static_cast<Id>(found[i]) : kNoNode;
            }
            take(first, count, numbers.data());
        }
    }

private:
    void upload(const RowsView& stored, std::span<const Id> rows) {
        const std::size_t step = std::max<std::size_t>(kBlockBytes / row_bytes_, 1);
        std::vector<std::uint8_t> block(std::min(step, rows.size()) * row_bytes_);
        for (std::size_t first = 0; first < rows.size(); first += step) {
            const auto some = rows.subspan(first, std::min(step, rows.size() - first));
            copy_stored_rows(stored, some, block.data());
            copy_to_device(stream_, memory_.address() + first * row_bytes_, block.data(),
                           some.size() * row_bytes_);
            stream_.synchronize();
        }
    }

    StreamRef stream_;
    std::size_t row_bytes_;
    DeviceBuffer memory_;
    DeviceBuffer constants_;
    std::size_t wanted_;
    SearchRequest request_;
};

}  // namespace

NearestSource nearest_on(Device& device) {
    return [&device](const StoredRows& stored, std::span<const Id> rows, bool by_distance,
                     std::size_t wanted, const TakeNumbers& take) {
        const Stream stream(device);
        Lists(stream.ref(), stored, rows, by_distance, wanted).find(take);
    };
}

}  // namespace nearfield::cuda

#include "cuda/train/nearest_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/interrupt.h"
#include "base/view.h"
#include "cuda/runtime/memory.h"
#include "cuda/search/list_search.h"
#include "cuda/search/topk.h"
#include "cuda/train/transfer.h"
#include "index/hnsw/graph_table.h"
#include "quant/raw/exact.h"

namespace nearfield::cuda {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{16} << 20;  // of rows on their way
constexpr std::size_t kQueries = 4096;
/// How many times fewer rows lists have to let a row meet, for what they cost beside the products.
constexpr std::size_t kWorthLists = 16;

/// Means of lists of rows that come in their order; of unit length, unless lists are found by distance.
class ListMeans {
public:
    ListMeans(std::span<const std::size_t> begin, std::size_t dim, bool by_distance)
        : begin_(begin), by_distance_(by_distance), row_(dim), sum_(dim) {}

    void add(DType dtype, const std::uint8_t* row) {
        while (next_ == begin_[list_ + 1]) end_list();
        widen_plain(dtype, row, row_.data(), row_.size());
        for (std::size_t d = 0; d < row_.size(); ++d) sum_[d] += static_cast<double>(row_[d]);
        ++next_;
    }

    std::vector<float> take() {
        while (list_ + 1 < begin_.size()) end_list();
        return std::move(means_);
    }

private:
    void end_list() {
        double squared = 0.0;
        for (const double x : sum_) squared += x * x;
        const auto rows = static_cast<double>(begin_[list_ + 1] - begin_[list_]);
        const double by = by_distance_ ? rows : std::sqrt(squared);
        for (double& x : sum_) means_.push_back(static_cast<float>(by > 0.0 ? x / by : 0.0));
        std::fill(sum_.begin(), sum_.end(), 0.0);
        ++list_;
    }

    std::span<const std::size_t> begin_;
    bool by_distance_;
    std::vector<float> row_;
    std::vector<double> sum_;
    std::vector<float> means_;
    std::size_t list_ = 0, next_ = 0;
};

/// Rows of a store on a device, and searches among them.
class Searches {
public:
    Searches(const StreamRef& stream, const LinkTask& task, bool by_lists)
        : stream_(stream),
          task_(task),
          by_lists_(by_lists),
          rows_({0, task.which.size(), task.rows.rows.cols, task.rows.rows.cols,
                 task.rows.rows.dtype}),
          metric_(task.rows.codes.spec.metric == Metric::kIp && task.bytes.by_distance()
                      ? Metric::kL2
                      : task.rows.codes.spec.metric),
          memory_(stream, bytes()) {
        rows_.address = memory_.address();
        if (by_lists_ && rows_.dtype == DType::kI8) excess_ = DeviceBuffer(stream, bytes());
        ListMeans means(task_.lists, rows_.cols, metric_ == Metric::kL2);
        upload(means);
        if (by_lists_) {
            list(means.take());
        } else {
            constants_ = DeviceBuffer(stream, constants_bytes(rows_));
            compute_constants(stream, rows_, metric_, constants_.address());
        }
    }

    void find(const TakeIds& take) {
        const std::size_t n = rows_.rows, most = std::min(kQueries, n);
        const std::size_t k = std::min(task_.wanted + 1, n);  // and the row itself
        const DeviceBuffer ids(stream_, most * k * sizeof(std::int64_t));
        const DeviceBuffer scores(stream_, most * k * sizeof(float));
        const DeviceBuffer counts(stream_, most * sizeof(std::int64_t));
        const SearchOut out{ids.address(), scores.address(), counts.address()};
        const DeviceBuffer scratch(stream_, needed(block(0, most), k));
        for (std::size_t first = 0; first < n; first += most) {
            checkpoint();
            const std::size_t count = std::min(most, n - first);
            search(block(first, count), k, out, scratch.address());
            take(first, count, ids.address(), k);
            stream_.synchronize();
        }
    }

private:
    std::size_t row_bytes() const noexcept { return rows_.cols * size_of(rows_.dtype); }
    std::size_t bytes() const noexcept { return rows_.rows * row_bytes(); }

    DeviceRows block(std::size_t first, std::size_t count) const noexcept {
        DeviceRows some = rows_;
        some.address += first * row_bytes();
        some.rows = count;
        return some;
    }

    SearchRequest among_all(const DeviceRows& queries, std::size_t k) const noexcept {
        return {queries, rows_, metric_, k, 0, 0, constants_.address()};
    }
    ListRequest among_lists(const DeviceRows& queries, std::size_t k) const noexcept {
        return {queries, *listed_, metric_, k, std::min(task_.probed + 1, task_.lists.size() - 1)};
    }

    std::size_t needed(const DeviceRows& queries, std::size_t k) const {
        return by_lists_ ? list_scratch_bytes(among_lists(queries, k))
                         : scratch_bytes(among_all(queries, k));
    }
    void search(const DeviceRows& queries, std::size_t k, const SearchOut& out,
                CUdeviceptr scratch) const {
        if (by_lists_) return search_lists(stream_, among_lists(queries, k), out, scratch);
        topk(stream_, among_all(queries, k), out, scratch);
    }

    void upload(ListMeans& means) {
        const std::size_t step = std::max<std::size_t>(kBlockBytes / row_bytes(), 1);
        std::vector<std::uint8_t> some(std::min(step, rows_.rows) * row_bytes());
        for (std::size_t first = 0; first < rows_.rows; first += step) {
            const std::size_t count = std::min(step, rows_.rows - first);
            copy_stored_rows(task_.rows.rows, task_.which.subspan(first, count), some.data());
            const CUdeviceptr offset = first * row_bytes();
            copy_to_device(stream_, rows_.address + offset, some.data(), count * row_bytes());
            for (std::size_t i = 0; by_lists_ && i < count; ++i) {
                means.add(rows_.dtype, some.data() + i * row_bytes());
            }
            stream_.synchronize();
            if (excess_.address() == 0) continue;
            for (std::uint8_t& x : some) x ^= 0x80U;
            copy_to_device(stream_, excess_.address() + offset, some.data(), count * row_bytes());
            stream_.synchronize();
        }
    }

    void list(const std::vector<float>& means) {
        const std::size_t lists = task_.lists.size() - 1, dim = rows_.cols;
        std::vector<std::uint32_t> offsets(task_.lists.begin(), task_.lists.end()), sizes(lists);
        offsets.push_back(offsets.back());  // the list without rows
        for (std::size_t i = 0; i < lists; ++i) sizes[i] = offsets[i + 1] - offsets[i];
        offsets_ = uploaded(stream_, offsets.data(), offsets.size());
        means_ = uploaded(stream_, means.data(), means.size());
        stream_.synchronize();
        listed_.emplace(ListedRows{.rows = rows_,
                                   .offsets = offsets_.address(),
                                   .centroids = {means_.address(), lists, dim, dim, DType::kF32},
                                   .sizes = ListSizes(sizes),
                                   .grouped = nullptr});
        if (excess_.address() != 0) listed_->rows.address = excess_.address();
        constants_ = DeviceBuffer(stream_, list_constants_bytes(listed_->rows));
        compute_list_constants(stream_, listed_->rows, metric_, constants_.address());
        listed_->constants = constants_.address();
        of_means_ = DeviceBuffer(stream_, list_constants_bytes(listed_->centroids));
        compute_list_constants(stream_, listed_->centroids, metric_, of_means_.address());
        listed_->centroid_constants = of_means_.address();
    }

    StreamRef stream_;
    const LinkTask& task_;
    bool by_lists_;
    DeviceRows rows_;
    Metric metric_;
    DeviceBuffer memory_;
    DeviceBuffer excess_;  // of int8 rows in lists: their values + 128
    DeviceBuffer constants_, offsets_, means_, of_means_;
    std::optional<ListedRows> listed_;
};

}  // namespace

void find_nearest(const StreamRef& stream, const LinkTask& task, std::size_t most_compared,
                  const TakeIds& take) {
    if (task.rows.rows.data == nullptr) {
        throw std::invalid_argument("nearest rows on a device: got codes alone, expected rows");
    }
    const std::size_t rows = task.which.size(), lists = task.lists.size() - 1;
    const std::size_t met = lists == 0 ? rows : (task.probed + 1) * rows / lists;
    const std::size_t most = most_compared != 0 ? most_compared : kWorthLists * met;
    Searches(stream, task, rows > most).find(take);
}

}  // namespace nearfield::cuda

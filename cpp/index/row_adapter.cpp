#include "index/row_adapter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/parallel.h"
#include "index/row_store.h"
#include "quant/raw/exact.h"
#include "quant/raw/kinds.h"

namespace nearfield {
namespace {

constexpr std::size_t kTogether = CorpusMap::kRows;
/// Scales of scans are zero or at least this.
constexpr double kLeastScale = 0x1p-100;

template <class T>
T* more_of(Column& column, std::size_t n) {
    return reinterpret_cast<T*>(column.extend(n * sizeof(T)));
}

/// A bias of scans, see set_scale(); of integers about a centre z, with sum = <1, x>.
float bias_of(const CodeSpec& spec, double norm, double sum) {
    const double half = 0.5 * (norm * spec.unit) * (norm * spec.unit);
    const double z = spec.centre();
    const double moved = z * sum - 0.5 * z * z * static_cast<double>(spec.dim);
    const double room = 0x1p-20 * (half + std::fabs(moved));
    return round_up_to_float(moved - half + (z == 0.0 ? 0x1p-20 * half : room));
}

/// A factor of cosine scans where a row's length becomes another.
float rescaled(float scale, double ratio, bool is_spread) {
    if (!(ratio > 0.0)) return is_spread ? static_cast<float>(kLeastScale) : 0.0f;
    const double changed = static_cast<double>(scale) * ratio;
    if (scale == 0.0f) return 0.0f;
    return is_spread ? round_up_to_float(std::max(changed, kLeastScale))
                     : static_cast<float>(std::max(changed, kLeastScale));
}

/// Some rows as floats, their lengths and those of what the map makes of them; of one thread.
struct Measured {
    std::vector<float> memory;
    CorpusMap::Scratch scratch;
    double own[kTogether];
    double mapped[kTogether];

    float* room(std::size_t dim) {
        memory.resize(kTogether * dim);
        return memory.data();
    }
    /// norms: of the rows, where these are known; next: see CorpusMap::lengths(); else null.
    void measure(const CorpusMap& map, const float* rows, std::size_t n, const double* norms,
                 const float* next) {
        double squares[kTogether];
        for (std::size_t i = 0; i < n; ++i) {
            own[i] = norms != nullptr ? norms[i] : norm_of(rows + i * map.dim(), map.dim());
            squares[i] = own[i] * own[i];
        }
        map.lengths(rows, n, squares, next, scratch, mapped);
    }
};

bool are_floats(const RowsView& rows) noexcept {
    return rows.dtype == DType::kF32 && rows.stride == rows.cols * sizeof(float);
}

/// Rows [first, first + n) that are kept, as floats; in `room` unless they lie so already.
const float* kept_rows(const RowsView& rows, std::size_t first, std::size_t n, Measured& room) {
    if (are_floats(rows)) return static_cast<const float*>(rows.row(first));
    float* const out = room.room(rows.cols);
    for (std::size_t i = 0; i < n; ++i) {
        widen(rows.dtype, rows.row(first + i), out + i * rows.cols, rows.cols);
    }
    return out;
}

/// <1, x>, where uint8 is moved under l2.
double sum_where_moved(const CodeSpec& spec, const float* x) noexcept {
    double sum = 0.0;
    for (std::size_t k = 0; spec.centre() != 0.0 && k < spec.dim; ++k) {
        sum += static_cast<double>(x[k]);
    }
    return sum;
}

/// The largest of what each worker has seen.
class Largest {
public:
    Largest(double start, int threads)
        : of_(static_cast<std::size_t>(max_workers(threads)), start) {}
    void see(int worker, double value) {
        double& most = of_[static_cast<std::size_t>(worker)];
        most = std::max(most, value);
    }
    double value() const { return *std::max_element(of_.begin(), of_.end()); }

private:
    std::vector<double> of_;
};

/// rows(first, n, worker) for pieces of [begin, end).
template <class Rows>
void for_pieces(std::size_t begin, std::size_t end, int threads, Rows&& rows) {
    constexpr std::size_t kPieces = 8;
    const std::size_t step = kPieces * kTogether;
    parallel_for((end - begin + step - 1) / step, threads, [&](std::size_t task, int worker) {
        const std::size_t last = std::min(end, begin + (task + 1) * step);
        for (std::size_t row = begin + task * step; row < last; row += kTogether) {
            rows(row, std::min(kTogether, last - row), worker);
        }
    });
}

void extend_kept(RowAdapter& adapter, const RowStore& store, int threads) {
    const CodeSpec& spec = store.spec;
    const std::size_t first = adapter.count;
    const std::size_t n = store.count - first;
    const bool is_cosine = spec.metric == Metric::kCosine;
    const bool is_coded = store.coding != nullptr;
    const RowsView rows = store.view(nullptr).rows;
    double* norms = more_of<double>(adapter.norms, n);
    float* scale = is_cosine && !is_coded ? more_of<float>(adapter.scale, n) : nullptr;
    const bool has_spread = scale != nullptr && spec.kind == ScanKind::kBF16;
    float* spread = has_spread ? more_of<float>(adapter.spread, n) : nullptr;
    float* bias = !is_cosine && !is_coded ? more_of<float>(adapter.bias, n) : nullptr;
    const double* known = is_cosine ? store.norms.as<double>() : nullptr;
    Largest stretch(adapter.stretch, threads);
    for_pieces(first, store.count, threads, [&](std::size_t row, std::size_t count, int worker) {
        thread_local Measured measured;
        const float* const wide = kept_rows(rows, row, count, measured);
        const bool has_next = are_floats(rows) && row + 2 * count <= store.count;
        measured.measure(*adapter.map, wide, count, known != nullptr ? known + row : nullptr,
                         has_next ? wide + count * spec.dim : nullptr);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t at = row + i - first;
            const double mapped = measured.mapped[i];
            norms[at] = mapped;
            const double ratio = mapped > 0.0 ? measured.own[i] / mapped : 0.0;
            if (is_cosine) stretch.see(worker, ratio);
            if (scale != nullptr) {
                scale[at] = rescaled(store.scale.as<float>()[row + i], ratio, false);
            }
            if (spread != nullptr) {
                spread[at] = rescaled(store.spread.as<float>()[row + i], ratio, true);
            }
            if (bias == nullptr) continue;
            bias[at] = bias_of(spec, mapped, sum_where_moved(spec, wide + i * spec.dim));
        }
    });
    adapter.stretch = stretch.value();
}

void extend_decoded(RowAdapter& adapter, const RowStore& store, int threads) {
    const std::size_t first = adapter.count;
    const std::size_t n = store.count - first;
    const bool is_cosine = store.spec.metric == Metric::kCosine;
    double* norms = more_of<double>(adapter.code_norms, n);
    float* bias = is_cosine ? nullptr : more_of<float>(adapter.bias, n);
    Largest longest(adapter.longest, threads);
    for_pieces(first, store.count, threads, [&](std::size_t row, std::size_t count, int worker) {
        thread_local Measured measured;
        const std::size_t dim = store.spec.dim;
        float* const wide = measured.room(dim);
        for (std::size_t i = 0; i < count; ++i) {
            store.decode_row(static_cast<Id>(row + i), wide + i * dim);
        }
        measured.measure(*adapter.map, wide, count, nullptr, nullptr);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t at = row + i - first;
            const double mapped = measured.mapped[i];
            if (is_cosine) {
                norms[at] = measured.own[i] > 0.0 ? mapped / measured.own[i] : 0.0;
                longest.see(worker, mapped > 0.0 ? 1.0 / norms[at] : 0.0);
            } else {
                norms[at] = mapped;
                bias[at] = static_cast<float>(-0.5 * mapped * mapped);
                longest.see(worker, mapped);
            }
        }
    });
    adapter.longest = longest.value();
}

}  // namespace

std::size_t RowAdapter::bytes() const noexcept {
    return (map != nullptr ? map->bytes() : 0) + norms.bytes() + code_norms.bytes() +
           scale.bytes() + spread.bytes() + bias.bytes() + walk.bytes();
}

void RowAdapter::extend(const RowStore& store, int threads) {
    if (store.spec.metric != Metric::kIp && !map->is_identity() && count < store.count) {
        const bool is_coded = store.coding != nullptr;
        if (!is_coded || store.coding->keeps_rows) extend_kept(*this, store, threads);
        if (is_coded && !store.coding->by_signs()) extend_decoded(*this, store, threads);
    }
    count = store.count;
}

void describe_rows(RowStore& store, bool anew, int threads) {
    for (NamedAdapter& adapter : store.adapters) {
        auto rows = std::make_shared<RowAdapter>();
        if (anew) {
            rows->map = adapter.rows->map;
        } else {
            *rows = *adapter.rows;
        }
        rows->extend(store, threads);
        adapter.rows = std::move(rows);
    }
}

}  // namespace nearfield

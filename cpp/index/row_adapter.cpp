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

/// Lengths of rows and of what the map makes of them.
struct Lengths {
    double own[kTogether];
    double mapped[kTogether];
    double sum[kTogether];
};

/// Those of n rows from `first` on that read() writes as floats.
template <class Read>
void measure(const CorpusMap& map, std::size_t first, std::size_t n, std::vector<float>& rows,
             CorpusMap::Scratch& scratch, Read&& read, Lengths& out) {
    const std::size_t dim = map.dim();
    rows.resize(kTogether * dim);
    double squares[kTogether];
    for (std::size_t i = 0; i < n; ++i) {
        float* x = rows.data() + i * dim;
        read(static_cast<Id>(first + i), x);
        out.own[i] = norm_of(x, dim);
        squares[i] = out.own[i] * out.own[i];
    }
    map.lengths(rows.data(), n, squares, scratch, out.mapped);
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
    Largest stretch(adapter.stretch, threads);
    for_pieces(first, store.count, threads, [&](std::size_t row, std::size_t count, int worker) {
        thread_local CorpusMap::Scratch scratch;
        thread_local std::vector<float> wide;
        Lengths lengths;
        measure(
            *adapter.map, row, count, wide, scratch,
            [&](Id id, float* x) { widen(spec.dtype, rows.row(id), x, spec.dim); }, lengths);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t at = row + i - first;
            const double mapped = lengths.mapped[i];
            norms[at] = mapped;
            const double ratio = mapped > 0.0 ? lengths.own[i] / mapped : 0.0;
            if (is_cosine) stretch.see(worker, ratio);
            if (scale != nullptr) {
                scale[at] = rescaled(store.scale.as<float>()[row + i], ratio, false);
            }
            if (spread != nullptr) {
                spread[at] = rescaled(store.spread.as<float>()[row + i], ratio, true);
            }
            if (bias == nullptr) continue;
            const float* x = wide.data() + i * spec.dim;
            double sum = 0.0;
            for (std::size_t k = 0; spec.centre() != 0.0 && k < spec.dim; ++k) {
                sum += static_cast<double>(x[k]);
            }
            bias[at] = bias_of(spec, mapped, sum);
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
        thread_local CorpusMap::Scratch scratch;
        thread_local std::vector<float> wide;
        Lengths lengths;
        measure(
            *adapter.map, row, count, wide, scratch,
            [&](Id id, float* x) { store.decode_row(id, x); }, lengths);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t at = row + i - first;
            const double mapped = lengths.mapped[i];
            if (is_cosine) {
                norms[at] = lengths.own[i] > 0.0 ? mapped / lengths.own[i] : 0.0;
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

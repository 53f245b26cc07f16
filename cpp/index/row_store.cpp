#include "index/row_store.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "base/parallel.h"
#include "index/row_adapter.h"
#include "quant/raw/calibrate.h"
#include "quant/raw/exact.h"
#include "quant/raw/kinds.h"

namespace nearfield {
namespace {

/// Row constants stay in float32 range while the largest norm is within this of the unit.
constexpr double kUnitDrift = 0x1p20;

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

void copy_row(DType dtype, const void* from, std::uint8_t* to, std::size_t bytes) {
    std::memcpy(to, from, bytes);
    if (dtype == DType::kI8) {
        for (std::size_t k = 0; k < bytes; ++k) to[k] ^= 0x80u;
    }
}

/// For each row kept: as how many-th of them it came.
Column ranked_arrivals(const RowStore& store, std::span<const Id> keep) {
    const Id* arrivals = store.arrival.as<Id>();
    std::vector<Id> rank(store.count + 1, 0);
    for (const Id row : keep) rank[arrivals[row] + 1] = 1;
    for (std::size_t i = 0; i < store.count; ++i) rank[i + 1] += rank[i];
    Column out;
    auto* to = reinterpret_cast<Id*>(out.extend(keep.size() * sizeof(Id)));
    for (std::size_t i = 0; i < keep.size(); ++i) to[i] = rank[arrivals[keep[i]]];
    return out;
}

/// The elements of `width` bytes that belong to the rows of `keep`, in their order.
Column picked(const Column& from, std::span<const Id> keep, std::size_t width, int threads) {
    Column out;
    if (width == 0) return out;
    std::uint8_t* to = out.extend(keep.size() * width);
    parallel_for(ceil_div(keep.size(), kBlockRows), threads, [&](std::size_t block, int) {
        const std::size_t last = std::min(keep.size(), (block + 1) * kBlockRows);
        for (std::size_t i = block * kBlockRows; i < last; ++i) {
            std::memcpy(to + i * width, from.data() + keep[i] * width, width);
        }
    });
    return out;
}

}  // namespace

RowStore::RowStore(std::size_t dim, Metric metric, DType dtype, std::optional<ScanKind> kind)
    : spec{metric, dtype, dim, 1.0, ScanKind::kBytes},
      wanted_kind(is_integer(dtype) ? std::nullopt : kind),
      errors(std::make_shared<std::vector<BlockError>>()) {
    spec.kind = wanted_kind.has_value() ? *wanted_kind : choose_kind(spec, {});
}

std::size_t RowStore::row_stride() const noexcept {
    if (is_integer(spec.dtype)) return code_stride(spec);
    const std::size_t bytes = spec.dim * size_of(spec.dtype);
    // Whatever the kind is: a later choice must find rows that can be scanned in place.
    return spec.dtype == DType::kBF16 ? round_up(bytes, 64) : bytes;
}

bool RowStore::rows_are_dense() const noexcept {
    return !is_integer(spec.dtype) && row_stride() == spec.dim * size_of(spec.dtype);
}

std::size_t RowStore::bytes() const noexcept {
    std::size_t adapted = 0;
    for (const NamedAdapter& adapter : adapters) adapted += adapter.rows->bytes();
    return adapted + rows.bytes() + codes.bytes() + scale.bytes() + spread.bytes() + bias.bytes() +
           norms.bytes() + labels.bytes() + arrival.bytes() + packed.bytes() + list_of.bytes() +
           signs.bytes() + (sign_coding != nullptr ? sign_coding->bytes() : 0) +
           (lists != nullptr ? lists->bytes() : 0) + errors->size() * sizeof(BlockError) +
           (live != nullptr ? live->words().size() * 8 : 0);
}

StoredRows RowStore::view(const RowFilter* filter, const RowAdapter* adapter) const noexcept {
    StoredRows v{};
    v.codes.spec = spec;
    v.codes.count = count;
    v.norms = spec.metric == Metric::kCosine ? norms.as<double>() : nullptr;
    v.labels = default_labels ? nullptr : labels.as<std::int64_t>();
    v.arrivals = lists != nullptr ? arrival.as<Id>() : nullptr;
    v.filter = filter != nullptr ? filter : live.get();
    const bool kept = coding == nullptr || coding->keeps_rows;
    v.rows = {kept ? rows.data() : nullptr, count, spec.dim, row_stride(), spec.dtype};
    if (coding != nullptr) {
        v.coded.emplace(CodedRows{decoded(), bias.as<float>(), nullptr, 0.0, max_norm,
                                  coding->max_centre(), packed.data(), packed_rows,
                                  sign_coding.get(), signs.whole(), signs.tail()});
        if (adapter != nullptr) adapt(v, *adapter);
        return v;
    }
    v.codes.codes = spec.rows_are_codes() ? rows.data() : codes.data();
    v.codes.stride = code_stride(spec);
    v.codes.scale = scale.as<float>();
    v.codes.spread = spec.kind == ScanKind::kBF16 ? spread.as<float>() : v.codes.scale;
    v.codes.bias = spec.metric == Metric::kL2 ? bias.as<float>() : nullptr;
    v.codes.errors = errors->data();
    if (adapter != nullptr) adapt(v, *adapter);
    return v;
}

void RowStore::adapt(StoredRows& v, const RowAdapter& adapter) const noexcept {
    v.is_folded = true;
    v.codes.spec.reach =
        reach_of(spec.metric == Metric::kCosine ? adapter.stretch : max_norm * spec.unit);
    if (spec.metric == Metric::kIp) return;
    v.norms = adapter.norms.as<double>();
    if (v.coded) {
        v.coded->norms = adapter.code_norms.as<double>();
        v.coded->bias = adapter.bias.as<float>();
        v.coded->longest = adapter.longest;
        // Sums of tables have no room for a number of each row.
        v.coded->packed_rows = 0;
    } else if (spec.metric == Metric::kCosine) {
        v.codes.scale = adapter.scale.as<float>();
        v.codes.spread = spec.kind == ScanKind::kBF16 ? adapter.spread.as<float>() : v.codes.scale;
    } else {
        v.codes.bias = adapter.bias.as<float>();
    }
}

std::vector<Id> RowStore::live_rows() const {
    std::vector<Id> out(count);
    const Id* arrivals = lists != nullptr ? arrival.as<Id>() : nullptr;
    for (std::size_t row = 0; row < count; ++row) {
        out[arrivals != nullptr ? arrivals[row] : row] = static_cast<Id>(row);
    }
    if (live != nullptr) std::erase_if(out, [this](Id row) { return !live->test(row); });
    return out;
}

std::vector<std::int64_t> RowStore::labels_of(const std::vector<Id>& some) const {
    std::vector<std::int64_t> out;
    out.reserve(some.size());
    for (const Id row : some) out.push_back(label(row));
    return out;
}

std::vector<Id> RowStore::places_of(const std::vector<Id>& some) const {
    const std::vector<Id> all = live_rows();
    std::vector<Id> place(count);
    for (std::size_t i = 0; i < all.size(); ++i) place[all[i]] = static_cast<Id>(i);
    std::vector<Id> out;
    out.reserve(some.size());
    for (const Id row : some) out.push_back(place[row]);
    return out;
}

void RowStore::append(const RowsView& rows_in, const std::int64_t* row_labels,
                      const Placement& place, int threads) {
    if (rows_in.rows == 0) return;
    if (count + rows_in.rows >= UINT32_MAX) {
        throw std::invalid_argument("an index holds at most 4294967294 vectors; got " +
                                    std::to_string(count + rows_in.rows));
    }
    const std::size_t first = count;
    const std::uint64_t encoded = encoding;
    append_labels(row_labels, place.order, rows_in.rows);
    if (coding == nullptr || coding->keeps_rows) copy_rows(rows_in, place.order, threads);
    count += rows_in.rows;
    // A choice that few rows made is made once more when there are enough.
    if (coding != nullptr) {
        encode_coded(rows_in, place, threads);
    } else if (first == 0 || (first < kBlockRows && count >= kBlockRows)) {
        encode_all(threads, first);
    } else {
        encode(first, threads, first);
        if (!is_settled()) encode_all(threads);
    }
    if (live != nullptr) {
        auto grown = std::make_shared<RowFilter>(*live);
        grown->resize(count);
        for (std::size_t row = first; row < count; ++row) grown->set(row);
        live = std::move(grown);
    }
    describe_rows(*this, encoding != encoded, threads);
}

void RowStore::append_labels(const std::int64_t* row_labels, const Id* order, std::size_t n) {
    const auto next = [&](std::size_t i) {
        return row_labels != nullptr ? row_labels[i] : next_label + static_cast<std::int64_t>(i);
    };
    bool plain = default_labels;
    for (std::size_t i = 0; plain && i < n; ++i) {
        plain = next(i) == static_cast<std::int64_t>(count + i);
    }
    if (!plain) {
        if (default_labels && count != 0) {
            auto* old =
                reinterpret_cast<std::int64_t*>(labels.extend(count * sizeof(std::int64_t)));
            for (std::size_t i = 0; i < count; ++i) old[i] = label(static_cast<Id>(i));
        }
        auto* out = reinterpret_cast<std::int64_t*>(labels.extend(n * sizeof(std::int64_t)));
        for (std::size_t i = 0; i < n; ++i) out[i] = next(order != nullptr ? order[i] : i);
        default_labels = false;
    }
    if (order != nullptr) {
        auto* out = reinterpret_cast<Id*>(arrival.extend(n * sizeof(Id)));
        for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<Id>(count) + order[i];
    }
    next_label += static_cast<std::int64_t>(n);
}

void RowStore::copy_rows(const RowsView& rows_in, const Id* order, int threads) {
    const std::size_t stride = row_stride();
    const std::size_t row_bytes = spec.dim * size_of(spec.dtype);
    const int padding = is_integer(spec.dtype) ? spec.zero_point() : 0;
    std::uint8_t* out = rows.extend(rows_in.rows * stride);
    parallel_for(ceil_div(rows_in.rows, kBlockRows), threads, [&](std::size_t block, int) {
        const std::size_t last = std::min(rows_in.rows, (block + 1) * kBlockRows);
        for (std::size_t i = block * kBlockRows; i < last; ++i) {
            std::uint8_t* to = out + i * stride;
            copy_row(spec.dtype, rows_in.row(order != nullptr ? order[i] : i), to, row_bytes);
            std::memset(to + row_bytes, padding, stride - row_bytes);
        }
    });
}

void RowStore::encode(std::size_t first, int threads, std::size_t known) {
    const std::size_t n = count - first;
    const std::size_t stride = code_stride(spec);
    std::uint8_t* code = spec.rows_are_codes() ? nullptr : codes.extend(n * stride);
    auto* scales = reinterpret_cast<float*>(scale.extend(n * sizeof(float)));
    auto* spreads = spec.kind == ScanKind::kBF16
                        ? reinterpret_cast<float*>(spread.extend(n * sizeof(float)))
                        : nullptr;
    auto* biases = spec.metric == Metric::kL2
                       ? reinterpret_cast<float*>(bias.extend(n * sizeof(float)))
                       : nullptr;
    auto* row_norms = spec.metric == Metric::kCosine
                          ? reinterpret_cast<double*>(norms.extend(n * sizeof(double)))
                          : nullptr;
    auto blocks = std::make_shared<std::vector<BlockError>>(*errors);
    blocks->resize(ceil_div(count, kBlockRows));

    std::atomic<std::size_t> bad{SIZE_MAX};
    std::atomic<bool> fit{norms_fit};
    std::vector<double> largest(static_cast<std::size_t>(max_workers(threads)), max_norm);
    const std::size_t first_block = first / kBlockRows;
    parallel_for(blocks->size() - first_block, threads, [&](std::size_t b, int worker) {
        const std::size_t block = first_block + b;
        const std::size_t begin = std::max(first, block * kBlockRows);
        const std::size_t end = std::min(count, (block + 1) * kBlockRows);
        std::vector<float> wide(spec.dim);
        BlockError error = (*blocks)[block];
        for (std::size_t row = begin; row < end; ++row) {
            const std::size_t i = row - first;
            RowConstants c{};
            if (!encode_row(spec, rows.data() + row * row_stride(), wide.data(),
                            code != nullptr ? code + i * stride : nullptr, c)) {
                std::size_t seen = bad.load();
                while (i < seen && !bad.compare_exchange_weak(seen, i)) {
                }
                return;
            }
            scales[i] = c.scale;
            if (spreads != nullptr) spreads[i] = c.spread;
            if (biases != nullptr) biases[i] = c.bias;
            if (row_norms != nullptr) row_norms[i] = c.norm;
            error.code_norm = std::max(error.code_norm, c.error.code_norm);
            error.residual = std::max(error.residual, c.error.residual);
            double& most = largest[static_cast<std::size_t>(worker)];
            most = std::max(most, c.norm);
            if (!fits_in_place(c.norm)) fit = false;
        }
        (*blocks)[block] = error;
    });
    if (bad.load() != SIZE_MAX) {
        throw std::invalid_argument("row " + std::to_string(first + bad.load() - known) +
                                    " holds NaN or infinity; expected finite values. Nothing was "
                                    "added: drop or repair that row.");
    }
    errors = std::move(blocks);
    norms_fit = fit;
    max_norm = *std::max_element(largest.begin(), largest.end());
}

void RowStore::encode_all(int threads, std::size_t known) {
    ++encoding;
    codes = scale = spread = bias = norms = Column();
    errors = std::make_shared<std::vector<BlockError>>();
    const RowsView all = view(nullptr).rows;
    if (spec.metric != Metric::kCosine && !is_integer(spec.dtype)) {
        double norm = max_norm;
        if (!(norm > 0.0)) {
            // Any row near the middle of the range will do; a bad guess is mended below.
            std::vector<float> wide(spec.dim);
            widen(spec.dtype, all.row(0), wide.data(), spec.dim);
            norm = norm_of(wide.data(), spec.dim);
        }
        spec.unit = std::isfinite(norm) ? unit_for(norm) : 1.0;
    }
    spec.kind = wanted_kind.has_value() ? *wanted_kind : choose_kind(spec, all);
    if (spec.dtype == DType::kBF16 && !norms_fit) spec.kind = ScanKind::kBytes;
    encode(0, threads, known);
    if (!is_settled()) encode_all(threads);  // once: every norm is known now
}

bool RowStore::is_settled() const noexcept {
    if (is_integer(spec.dtype)) return true;
    if (spec.rows_are_codes() && !norms_fit) return false;
    if (spec.metric == Metric::kCosine || !(max_norm > 0.0)) return true;
    const double in_units = max_norm * spec.unit;
    return in_units <= kUnitDrift && in_units >= 1.0 / kUnitDrift;
}

RowStore RowStore::restore(std::size_t dim, Metric metric, DType dtype, std::size_t n,
                           Buffer dense) {
    RowStore store(dim, metric, dtype);
    const std::size_t stride = dim * size_of(dtype);
    const std::uint8_t* data = static_cast<const Buffer&>(dense).data();
    if (!store.rows_are_dense()) {
        store.append({data, n, dim, stride, dtype}, nullptr, {}, 0);
    } else if (n != 0) {
        store.rows = Column(std::move(dense));
        store.count = n;
        store.encode_all(0);
    }
    store.next_label = static_cast<std::int64_t>(n);
    return store;
}

void RowStore::name_rows(const std::int64_t* row_labels, std::int64_t next) {
    next_label = next;
    default_labels = row_labels == nullptr;
    labels = Column();
    if (row_labels != nullptr && count != 0) {
        std::memcpy(labels.extend(count * sizeof(std::int64_t)), row_labels,
                    count * sizeof(std::int64_t));
    }
}

RowStore RowStore::borrow(const RowsView& rows_in, Metric metric, int threads,
                          std::optional<ScanKind> kind) {
    RowStore store(rows_in.cols, metric, rows_in.dtype, kind);
    if (!store.rows_are_dense()) {
        store.append(rows_in, nullptr, {}, threads);
    } else if (rows_in.rows != 0) {
        store.rows = Column(Buffer::borrow(rows_in.data, rows_in.rows * rows_in.stride, nullptr));
        store.count = rows_in.rows;
        store.encode_all(threads);
    }
    return store;
}

void RowStore::mark_dead(std::span<const Id> dead_rows) {
    std::shared_ptr<RowFilter> next;
    if (live != nullptr) {
        next = std::make_shared<RowFilter>(*live);
    } else {
        next = std::make_shared<RowFilter>(count);
        for (std::size_t row = 0; row < count; ++row) next->set(row);
    }
    for (const Id row : dead_rows) next->clear(row);
    dead += dead_rows.size();
    live = std::move(next);
}

RowStore RowStore::taken(std::span<const Id> keep, int threads) const {
    RowStore out(spec.dim, spec.metric, spec.dtype, wanted_kind);
    out.coding = coding;
    out.sign_coding = sign_coding;
    out.layout = layout + 1;
    out.adapters = adapters;
    out.next_label = next_label;
    if (keep.empty()) {
        describe_rows(out, true, threads);
        return out;
    }
    out.rows = picked(rows, keep, rows.bytes() / count, threads);
    out.count = keep.size();
    if (lists != nullptr) out.arrival = ranked_arrivals(*this, keep);
    if (lists == nullptr || !default_labels || keep.size() < count) {
        auto* names =
            reinterpret_cast<std::int64_t*>(out.labels.extend(keep.size() * sizeof(std::int64_t)));
        for (std::size_t i = 0; i < keep.size(); ++i) names[i] = label(keep[i]);
        out.default_labels = false;
    }
    if (coding == nullptr) {
        out.encode_all(threads);
    } else {
        out.codes = picked(codes, keep, codes.bytes() / count, threads);
        out.list_of = picked(list_of, keep, list_of.bytes() / count, threads);
        out.derive_coded(0, threads);
    }
    describe_rows(out, true, threads);
    return out;
}

}  // namespace nearfield

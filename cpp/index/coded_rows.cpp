// RowStore, where rows are found by the codes of a quantizer.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "base/parallel.h"
#include "index/row_store.h"
#include "quant/pq/fast_scan.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// Rows widened and encoded at once.
constexpr std::size_t kRowsAtOnce = std::size_t{1} << 14;
/// Rows decoded at once.
constexpr std::size_t kDecoded = 32;

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Rows of a file: those that come by add() have been looked at when they were encoded.
void check_kept(const RowsView& rows) {
    std::atomic<bool> finite{true};
    parallel_for(ceil_div(rows.rows, kBlockRows), 0, [&](std::size_t block, int) {
        std::vector<float> wide(rows.cols);
        const std::size_t end = std::min(rows.rows, (block + 1) * kBlockRows);
        for (std::size_t i = block * kBlockRows; i < end; ++i) {
            widen(rows.dtype, rows.row(i), wide.data(), rows.cols);
            if (!all_finite(wide.data(), rows.cols)) finite = false;
        }
    });
    if (!finite) throw std::invalid_argument("a row holds NaN or infinity");
}

}  // namespace

DecodedRows RowStore::decoded() const noexcept {
    const float* centres = coding->residual ? coding->rotated_centres() : nullptr;
    return {*coding->quantizer, codes.data(), centres, list_of.as<Id>()};
}

void RowStore::encode_coded(const RowsView& rows_in, const Placement& place, int threads) {
    const std::size_t n = rows_in.rows;
    const std::size_t first = count - n;
    const std::size_t code_size = coding->quantizer->code_size();
    const std::size_t dim = spec.dim;
    std::uint8_t* const out = codes.extend(n * code_size);
    const auto source = [&](std::size_t i) { return place.order != nullptr ? place.order[i] : i; };
    if (coding->residual) {
        auto* lists_out = reinterpret_cast<Id*>(list_of.extend(n * sizeof(Id)));
        for (std::size_t i = 0; i < n; ++i) lists_out[i] = place.list_of[source(i)];
    }
    std::vector<float> wide(std::min(n, kRowsAtOnce) * dim);
    for (std::size_t begin = 0; begin < n; begin += kRowsAtOnce) {
        const std::size_t rows_now = std::min(kRowsAtOnce, n - begin);
        std::atomic<std::size_t> bad{SIZE_MAX};
        parallel_for(rows_now, threads, [&](std::size_t i, int) {
            float* x = wide.data() + i * dim;
            widen_plain(rows_in.dtype, rows_in.row(source(begin + i)), x, dim);
            if (!all_finite(x, dim)) {
                std::size_t seen = bad.load();
                while (source(begin + i) < seen &&
                       !bad.compare_exchange_weak(seen, source(begin + i))) {
                }
            }
            if (spec.metric == Metric::kCosine) normalise(x, dim);
            if (!coding->residual) return;
            const float* c =
                coding->centres() + std::size_t{place.list_of[source(begin + i)]} * dim;
            for (std::size_t k = 0; k < dim; ++k) x[k] -= c[k];
        });
        if (bad.load() != SIZE_MAX) {
            throw std::invalid_argument("row " + std::to_string(bad.load()) +
                                        " holds NaN or infinity; expected finite values. Nothing "
                                        "was added: drop or repair that row.");
        }
        try {
            coding->quantizer->encode({wide.data(), rows_now, dim}, out + begin * code_size,
                                      threads);
        } catch (const std::invalid_argument&) {
            name_uncoded(rows_in, place);
            throw;
        }
    }
    if (!derive_coded(first, threads)) {
        throw std::invalid_argument(
            "a row is so large that its code stands for no finite row; scale the rows down");
    }
}

void RowStore::decode_row(Id row, float* out) const {
    coding->quantizer->decode(decoded().code(row), 1, out, 1);
    if (!coding->residual) return;
    const float* c = coding->centres() + std::size_t{list_of.as<Id>()[row]} * spec.dim;
    for (std::size_t k = 0; k < spec.dim; ++k) out[k] += c[k];
}

/// Rows short of a whole block wait for more: a block that is read is never written to.
void RowStore::pack_codes() {
    const std::size_t numbers = coding->quantizer->scan_numbers();
    const std::size_t whole = count / kScanBlock * kScanBlock;
    if (numbers == 0 || whole == packed_rows) return;
    const std::size_t bytes = packed_scan_bytes(numbers, whole - packed_rows);
    std::uint8_t* const out = packed.extend(bytes);
    std::memset(out, 0, bytes);
    pack_scan_rows(decoded().code(packed_rows), whole - packed_rows, numbers, 0, out);
    packed_rows = whole;
}

void RowStore::name_uncoded(const RowsView& rows_in, const Placement& place) const {
    std::vector<std::uint8_t> code(coding->quantizer->code_size());
    std::vector<float> x(spec.dim);
    for (std::size_t i = 0; i < rows_in.rows; ++i) {
        if (i % kBlockRows == 0) checkpoint();
        widen_plain(rows_in.dtype, rows_in.row(i), x.data(), spec.dim);
        if (spec.metric == Metric::kCosine) normalise(x.data(), spec.dim);
        if (coding->residual) {
            const float* c = coding->centres() + std::size_t{place.list_of[i]} * spec.dim;
            for (std::size_t k = 0; k < spec.dim; ++k) x[k] -= c[k];
        }
        try {
            coding->quantizer->encode({x.data(), 1, spec.dim}, code.data(), 1);
        } catch (const std::invalid_argument& error) {
            // It knows this row as its row 0.
            const std::string what = error.what();
            const bool named = what.starts_with("row 0 ");
            throw std::invalid_argument("row " + std::to_string(i) +
                                        (named ? what.substr(5) : ": " + what));
        }
    }
}

bool RowStore::derive_coded(std::size_t first, int threads) {
    if (coding->by_signs()) {
        derive_signs(first, threads);
        return true;
    }
    pack_codes();
    const std::size_t n = count - first;
    const std::size_t dim = spec.dim;
    auto* biases = spec.metric == Metric::kL2
                       ? reinterpret_cast<float*>(bias.extend(n * sizeof(float)))
                       : nullptr;
    auto* row_norms = spec.metric == Metric::kCosine && coding->keeps_rows
                          ? reinterpret_cast<double*>(norms.extend(n * sizeof(double)))
                          : nullptr;
    std::vector<double> largest(static_cast<std::size_t>(max_workers(threads)), max_norm);
    std::atomic<bool> finite{true};
    const DecodedRows all = decoded();
    parallel_for(ceil_div(n, kBlockRows), threads, [&](std::size_t block, int worker) {
        std::vector<float> wide(kDecoded * dim);
        double& most = largest[static_cast<std::size_t>(worker)];
        const std::size_t end = std::min(n, (block + 1) * kBlockRows);
        for (std::size_t i = block * kBlockRows; i < end; i += kDecoded) {
            const std::size_t now = std::min(kDecoded, end - i);
            all.read(first + i, now, wide.data());
            for (std::size_t r = 0; r < now; ++r) {
                const float* x = wide.data() + r * dim;
                if (!all_finite(x, dim)) finite = false;
                const double norm = norm_of(x, dim);
                most = std::max(most, norm);
                if (biases != nullptr) biases[i + r] = static_cast<float>(-0.5 * norm * norm);
            }
            for (std::size_t r = 0; row_norms != nullptr && r < now; ++r) {
                const std::size_t row = first + i + r;
                widen(spec.dtype, rows.data() + row * row_stride(), wide.data(), dim);
                row_norms[i + r] = norm_of(wide.data(), dim);
            }
        }
    });
    max_norm = *std::max_element(largest.begin(), largest.end());
    return finite;
}

RowStore RowStore::restore_coded(std::size_t dim, Metric metric, DType dtype,
                                 std::shared_ptr<const RowCoding> coding, std::size_t n,
                                 Buffer dense, Buffer codes, Column list_of) {
    RowStore store(dim, metric, dtype);
    store.coding = std::move(coding);
    store.next_label = static_cast<std::int64_t>(n);
    if (n == 0) return store;
    const std::size_t stride = dim * size_of(dtype);
    if (store.coding->keeps_rows && store.rows_are_dense()) {
        store.rows = Column(std::move(dense));
    } else if (store.coding->keeps_rows) {
        const std::uint8_t* data = static_cast<const Buffer&>(dense).data();
        store.copy_rows({data, n, dim, stride, dtype}, nullptr, 0);
    }
    store.codes = Column(std::move(codes));
    store.list_of = std::move(list_of);
    store.count = n;
    if (store.coding->keeps_rows) check_kept(store.view(nullptr).rows);
    if (!store.derive_coded(0, 0)) {
        throw std::invalid_argument("a code stands for no finite row");
    }
    return store;
}

}  // namespace nearfield

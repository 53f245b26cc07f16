// Rows on a device block by block: every block where it lies, results as without blocks.
#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/train/codes.h"
#include "cuda/train/nearest.h"
#include "cuda/train/transfer.h"
#include "quant/kmeans/kmeans.h"
#include "quant/registry.h"
#include "standin.h"

using namespace nearfield;
using namespace nearfield::cuda;

namespace {

constexpr std::size_t kRows = 23;
constexpr std::size_t kDim = 5;
constexpr std::size_t kAtOnce = 8;

StreamRef stream() {
    use_standin();
    return {&Device::at(0), nullptr};
}

/// Whole numbers that a byte holds.
template <class T>
std::vector<T> numbers(std::size_t n, unsigned factor) {
    std::vector<T> out(n);
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<T>(i * factor % 101);
    return out;
}

/// The nearest of three centroids.
template <class T>
std::vector<Id> nearest_of(DType dtype, std::size_t at_once) {
    const StreamRef on = stream();
    const auto values = numbers<T>(kRows * kDim, 37);
    const auto centroids = numbers<float>(3 * kDim, 29);
    const DeviceBuffer rows = uploaded(on, values.data(), values.size());
    const DeviceBuffer centres = uploaded(on, centroids.data(), centroids.size());
    const DeviceRows view{rows.address(), kRows, kDim, kDim, dtype};
    Scratch scratch;
    const DeviceNearest search(view, 3, Metric::kL2, scratch, at_once);
    const DeviceBuffer work(on, scratch.bytes());
    const DeviceBuffer nearest(on, kRows * sizeof(Id));
    const DeviceBuffer labels(on, kRows * sizeof(std::int64_t));
    search.run(on, centres.address(), nearest.address(), labels.address(), work.address());
    const auto found = downloaded<Id>(on, nearest.address(), kRows);
    const auto wide = downloaded<std::int64_t>(on, labels.address(), kRows);
    for (std::size_t i = 0; i < kRows; ++i) CHECK_EQ(static_cast<std::int64_t>(found[i]), wide[i]);
    return found;
}

template <class T>
std::vector<std::uint8_t> codes_of(DType dtype, const Quantizer& quantizer, std::size_t at_once) {
    const StreamRef on = stream();
    const auto values = numbers<T>(kRows * kDim, 37);
    const DeviceBuffer rows = uploaded(on, values.data(), values.size());
    const DeviceRows view{rows.address(), kRows, kDim, kDim, dtype};
    const auto there = device_codes(on, quantizer);
    const DeviceBuffer work(on, there->scratch_bytes(view, at_once));
    const DeviceBuffer codes(on, kRows * quantizer.code_size());
    there->encode(on, view, codes.address(), work.address(), at_once);
    return downloaded<std::uint8_t>(on, codes.address(), codes.bytes());
}

/// Rows of codes that lie a byte further apart than they are long.
std::vector<float> decoded(const std::vector<std::uint8_t>& codes, const Quantizer& quantizer,
                           std::size_t at_once) {
    const StreamRef on = stream();
    const std::size_t size = quantizer.code_size();
    std::vector<std::uint8_t> apart(kRows * (size + 1), 0xFF);
    for (std::size_t i = 0; i < codes.size(); ++i)
        apart[i / size * (size + 1) + i % size] = codes[i];
    const DeviceBuffer from = uploaded(on, apart.data(), apart.size());
    const DeviceBuffer rows(on, kRows * kDim * sizeof(float));
    device_codes(on, quantizer)
        ->decode(on, {from.address(), kRows, size + 1}, rows.address(), at_once);
    return downloaded<float>(on, rows.address(), kRows * kDim);
}

}  // namespace

TEST(blocks_change_no_assignment) {
    const auto rows = numbers<float>(kRows * kDim, 37);
    const auto centroids = numbers<float>(3 * kDim, 29);
    std::vector<Id> expected(kRows);
    assign({rows.data(), kRows, kDim}, {centroids.data(), 3, kDim}, false, expected.data(), nullptr,
           1);
    for (const std::size_t at_once : {kAtOnce, kRows, std::size_t{1}}) {
        CHECK(nearest_of<float>(DType::kF32, at_once) == expected);
        CHECK(nearest_of<std::uint8_t>(DType::kU8, at_once) == expected);
    }
    CHECK_EQ(violations(), "");
}

TEST(blocks_change_no_code_and_no_row_of_codes) {
    const auto rows = numbers<float>(kRows * kDim, 37);
    const MatrixView<float> view{rows.data(), kRows, kDim};
    for (const char* name : {"sq8", "sq4", "pq5x4"}) {
        const std::unique_ptr<Quantizer> quantizer = make_quantizer(name, kDim);
        quantizer->train(view, 0, 1);
        std::vector<std::uint8_t> expected(kRows * quantizer->code_size());
        quantizer->encode(view, expected.data(), 1);
        CHECK(codes_of<float>(DType::kF32, *quantizer, kAtOnce) == expected);
        CHECK(codes_of<std::int8_t>(DType::kI8, *quantizer, kAtOnce) == expected);
        std::vector<float> again(kRows * kDim);
        quantizer->decode(expected.data(), kRows, again.data(), 1);
        CHECK(decoded(expected, *quantizer, kAtOnce) == again);
    }
    CHECK_EQ(violations(), "");
}

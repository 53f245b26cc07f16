// Encoding and decoding by codebooks; training is in train.cpp, scoring in table_scorer.cpp.
#include "quant/pq/codebooks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels/resolve.h"
#include "quant/packing.h"

namespace nearfield {
namespace {

constexpr float kFarthest = 0x1p60f;  // squares and sums of so large values stay finite

/// Divisors of dim around m, for a message.
std::string divisors_near(std::size_t dim, std::size_t m) {
    std::string below;
    std::string above;
    for (std::size_t d = std::min(m, dim); d >= 1 && below.empty(); --d) {
        if (dim % d == 0) below = std::to_string(d);
    }
    for (std::size_t d = m + 1; d <= dim && above.empty(); ++d) {
        if (dim % d == 0) above = std::to_string(d);
    }
    return below + (below.empty() || above.empty() ? "" : " or ") + above;
}

}  // namespace

CodebookShape check_shape(std::size_t dim, std::size_t m, std::size_t nbits) {
    if (m == 0 || dim % m != 0) {
        throw std::invalid_argument("m: got " + std::to_string(m) + " for dim " +
                                    std::to_string(dim) + ", expected a divisor of dim; try m = " +
                                    divisors_near(dim, std::max<std::size_t>(m, 1)));
    }
    if (nbits < 4 || nbits > 12) {
        throw std::invalid_argument("nbits: got " + std::to_string(nbits) + ", expected 4 to 12");
    }
    return {dim, m, nbits};
}

Codebooks::Codebooks(const CodebookShape& shape, std::vector<float> values)
    : shape_(shape),
      values_(std::move(values)),
      side_by_side_(values_.size()),
      weights_(values_.size()),
      bias_(shape.m * shape.k()),
      centre_(shape.dim),
      scale_(shape.dim) {
    for (std::size_t j = 0; j < shape_.m; ++j) prepare_encoding(j);
}

Codebooks::Encoding Codebooks::encoding() const noexcept {
    return {centre_, scale_, weights_, bias_, kFarthest};
}

void Codebooks::prepare_encoding(std::size_t j) {
    const std::size_t k = shape_.k();
    const std::size_t width = shape_.sub_dim();
    const float* const book = values_.data() + j * k * width;
    float* const centre = centre_.data() + j * width;
    float most = 0.0f;
    for (std::size_t d = 0; d < width; ++d) {
        double sum = 0.0;
        for (std::size_t c = 0; c < k; ++c) sum += static_cast<double>(book[c * width + d]);
        centre[d] = static_cast<float>(sum / static_cast<double>(k));
        for (std::size_t c = 0; c < k; ++c) {
            side_by_side_[(j * width + d) * k + c] = book[c * width + d];
            most = std::max(most, std::fabs(book[c * width + d] / 4 - centre[d] / 4));
        }
    }
    int exponent = 0;
    std::frexp(most, &exponent);
    const float scale = std::ldexp(1.0f, std::clamp(-exponent - 2, -126, 126));
    std::fill_n(scale_.data() + j * width, width, scale);
    for (std::size_t c = 0; c < k; ++c) {
        double norm = 0.0;
        for (std::size_t d = 0; d < width; ++d) {
            const std::size_t at = (j * k + c) * width + d;
            const float moved =
                std::clamp((values_[at] - centre[d]) * scale, -kFarthest, kFarthest);
            weights_[at] = -moved;
            norm += static_cast<double>(moved) * static_cast<double>(moved);
        }
        bias_[j * k + c] = static_cast<float>(norm / 2);
    }
}

void Codebooks::encode_lanes(float* lanes, std::size_t count, std::uint8_t* codes) const noexcept {
    const auto& kernel = kernels::active();
    const std::size_t width = shape_.sub_dim();
    const std::size_t k = shape_.k();
    const std::size_t bytes = shape_.code_size();
    std::uint32_t nearest[kernels::kLanes];
    std::memset(codes, 0, count * bytes);
    kernel.centre_lanes(lanes, shape_.dim, centre_.data(), scale_.data(), kFarthest);
    for (std::size_t j = 0; j < shape_.m; ++j) {
        kernel.nearest_lanes(lanes + j * width * kernels::kLanes, width,
                             weights_.data() + j * k * width, bias_.data() + j * k, k, nearest);
        if (shape_.nbits == 8) {
            for (std::size_t r = 0; r < count; ++r) {
                codes[r * bytes + j] = static_cast<std::uint8_t>(nearest[r]);
            }
        } else {
            for (std::size_t r = 0; r < count; ++r) {
                put_number(codes + r * bytes, j, shape_.nbits, nearest[r]);
            }
        }
    }
}

void Codebooks::decode(const std::uint8_t* codes, std::size_t count, float* rows) const noexcept {
    switch (shape_.sub_dim()) {
        case 1: return decode_widths<1>(codes, count, rows);
        case 2: return decode_widths<2>(codes, count, rows);
        case 4: return decode_widths<4>(codes, count, rows);
        case 8: return decode_widths<8>(codes, count, rows);
        default: return decode_widths<0>(codes, count, rows);
    }
}

/// Width: sub_dim where the compiler may know it, else 0: copies of a few floats are then no calls.
template <std::size_t Width>
void Codebooks::decode_widths(const std::uint8_t* codes, std::size_t count,
                              float* rows) const noexcept {
    const std::size_t bytes = shape_.code_size();
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* code = codes + i * bytes;
        float* const row = rows + i * shape_.dim;
        switch (shape_.nbits) {
            case 4:
                copy_centroids<Width>(row, [=](std::size_t j) {
                    return static_cast<std::size_t>(code[j / 2] >> (j % 2 * 4) & 15);
                });
                break;
            case 8:
                copy_centroids<Width>(row, [=](std::size_t j) { return std::size_t{code[j]}; });
                break;
            default:
                copy_centroids<Width>(row, [&](std::size_t j) {
                    return static_cast<std::size_t>(get_number(code, bytes, j, shape_.nbits));
                });
        }
    }
}

template <std::size_t Width, class Number>
void Codebooks::copy_centroids(float* row, Number&& number) const noexcept {
    const std::size_t width = Width != 0 ? Width : shape_.sub_dim();
    const std::size_t step = shape_.k() * width;
    const float* book = values_.data();
    for (std::size_t j = 0; j < shape_.m; ++j, book += step) {
        std::memcpy(row + j * width, book + number(j) * width, width * sizeof(float));
    }
}

}  // namespace nearfield

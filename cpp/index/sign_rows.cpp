#include "index/sign_rows.h"

#include <utility>

namespace nearfield {
namespace {

using kernels::kSignRows;

constexpr std::size_t kFactorBytes = kSignRows * sizeof(float);

}  // namespace

SignBlock SignRows::Writer::block(std::size_t b) const noexcept {
    if (b >= whole_) return tail_;
    const std::size_t row = (b - first_block_) * kSignRows;
    return {columns_.planes + row * bytes_, columns_.scale + row, columns_.bias + row,
            columns_.error + row};
}

SignBlock SignRows::block_in(Buffer& tail, std::size_t plane_size) {
    std::uint8_t* base = tail.data();
    auto* factors = reinterpret_cast<float*>(base + plane_size * kSignRows);
    return {base, factors, factors + kSignRows, factors + 2 * kSignRows};
}

SignRows::Writer SignRows::extend(std::size_t n, std::size_t plane_size) {
    const std::size_t old_whole = count_ / kSignRows;
    const std::size_t old_tail = count_ % kSignRows;
    const std::shared_ptr<const Buffer> before = tail_;
    plane_size_ = plane_size;
    count_ += n;

    Writer writer{};
    writer.bytes_ = plane_size;
    writer.first_block_ = old_whole;
    writer.whole_ = count_ / kSignRows;
    const std::size_t more = writer.whole_ - old_whole;
    if (more != 0) {
        const auto floats = [more](Column& column) {
            return reinterpret_cast<float*>(column.extend(more * kFactorBytes));
        };
        writer.columns_ = {planes_.extend(more * plane_size * kSignRows), floats(scale_),
                           floats(bias_), floats(error_)};
    }
    tail_.reset();
    if (count_ % kSignRows != 0) {
        auto tail = std::make_shared<Buffer>(plane_size * kSignRows + 3 * kFactorBytes);
        writer.tail_ = block_in(*tail, plane_size);
        tail_ = std::move(tail);
    }
    if (old_tail != 0) {
        // Only read from.
        const SignBlock old = block_in(const_cast<Buffer&>(*before), plane_size);
        const SignBlock to = writer.block(old_whole);
        for (std::size_t lane = 0; lane < old_tail; ++lane) to.copy(lane, old, lane, plane_size);
    }
    return writer;
}

SignView SignRows::whole() const noexcept {
    return {planes_.data(),     scale_.as<float>(), bias_.as<float>(),
            error_.as<float>(), plane_size_,        count_ / kSignRows * kSignRows};
}

SignView SignRows::tail() const noexcept {
    if (tail_ == nullptr) return {nullptr, nullptr, nullptr, nullptr, plane_size_, 0};
    const std::uint8_t* base = tail_->data();
    const auto* factors = reinterpret_cast<const float*>(base + plane_size_ * kSignRows);
    return {base,        factors,           factors + kSignRows, factors + 2 * kSignRows,
            plane_size_, count_ % kSignRows};
}

std::size_t SignRows::bytes() const noexcept {
    return planes_.bytes() + scale_.bytes() + bias_.bytes() + error_.bytes() +
           (tail_ != nullptr ? tail_->size() : 0);
}

}  // namespace nearfield

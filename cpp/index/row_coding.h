// RowCoding: how a store's rows become the codes by which they are found.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/types.h"
#include "quant/quantizer.h"
#include "quant/rabitq/sign_coding.h"

namespace nearfield {

struct RowCoding {
    std::shared_ptr<const Quantizer> quantizer;
    bool keeps_rows = false;  // rows are kept beside their codes, to re-rank by
    bool residual = false;    // codes are of what a row differs from the centroid of its list

    bool is_trained() const noexcept {
        return quantizer->is_trained() && (!residual || centres_ != nullptr);
    }

    /// Kept rows that searches choose by bounds from the first planes of rotated codes.
    bool by_signs() const noexcept {
        return keeps_rows && dynamic_cast<const RabitqQuantizer*>(quantizer.get()) != nullptr;
    }
    /// Only where by_signs() and is_trained().
    std::shared_ptr<const SignCoding> sign_coding(Metric metric) const {
        return std::make_shared<const SignCoding>(dynamic_cast<const RabitqQuantizer&>(*quantizer),
                                                  metric, residual ? centres_.get() : nullptr,
                                                  count_);
    }

    /// Centroids of the lists, dim floats each, and the largest norm of them. For residual codes, once the
    /// quantizer is trained or before.
    void set_centres(std::shared_ptr<const float> centres, std::size_t n, double max_norm) {
        centres_ = std::move(centres);
        count_ = n;
        max_centre_ = max_norm;
        turn();
    }
    /// Another quantizer of the same name, trained.
    void set_quantizer(std::shared_ptr<const Quantizer> trained) {
        quantizer = std::move(trained);
        turn();
    }

    const float* centres() const noexcept { return centres_.get(); }
    /// As decoded rows need them, see Quantizer::rotates().
    const float* rotated_centres() const noexcept {
        return rotated_.empty() ? centres_.get() : rotated_.data();
    }
    double max_centre() const noexcept { return max_centre_; }

private:
    void turn() {
        if (centres_ == nullptr || !quantizer->is_trained() || !quantizer->rotates()) return;
        rotated_.resize(count_ * quantizer->dim());
        quantizer->rotate({centres_.get(), count_, quantizer->dim()}, rotated_.data(), 0);
    }

    std::shared_ptr<const float> centres_;
    std::size_t count_ = 0;
    double max_centre_ = 0.0;
    std::vector<float> rotated_;
};

}  // namespace nearfield

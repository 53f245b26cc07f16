// RowCoding: how a store's rows become the codes by which they are found.
#pragma once

#include <cstddef>
#include <memory>

#include "base/types.h"
#include "quant/quantizer.h"

namespace nearfield {

struct RowCoding {
    std::shared_ptr<const Quantizer> quantizer;
    bool keeps_rows = false;  // rows are kept beside their codes, to re-rank by
    bool residual = false;    // codes are of what a row differs from the centroid of its list
    // Of the lists, dim floats each; null before they are trained, or where codes are of whole rows.
    std::shared_ptr<const float> centres;
    double max_centre = 0.0;  // the largest norm of those

    bool is_trained() const noexcept {
        return quantizer->is_trained() && (!residual || centres != nullptr);
    }
};

}  // namespace nearfield

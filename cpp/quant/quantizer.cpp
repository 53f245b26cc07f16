#include "quant/quantizer.h"

#include <stdexcept>

namespace nearfield {

void Quantizer::rotate(MatrixView<float>, float*, int) const {
    throw std::logic_error("a quantizer that does not rotate was asked to");
}

void Quantizer::scan_tables(Metric, const float*, float*) const {
    throw std::logic_error("codes that no fast scan can read");
}

}  // namespace nearfield

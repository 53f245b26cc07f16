#include "transform/packed_matrix.h"

#include <cmath>
#include <stdexcept>
#include <string>

#include "base/interrupt.h"
#include "base/types.h"
#include "kernels/resolve.h"

namespace nearfield {
namespace {

constexpr std::size_t kLanes = kernels::kPanelOutputs;

}  // namespace

PackedMatrix::PackedMatrix(std::size_t outputs, std::size_t inputs, const char* what)
    : outputs_(outputs),
      inputs_(inputs),
      panels_(round_up(outputs, kLanes) * inputs * sizeof(float)) {
    if (outputs == 0 || inputs == 0) {
        throw std::invalid_argument(std::string(what) + ": got an empty matrix");
    }
}

void PackedMatrix::set(std::size_t output, std::size_t input, float value, double factor,
                       const char* what) {
    const auto scaled = static_cast<float>(static_cast<double>(value) * factor);
    if (!std::isfinite(scaled)) {
        throw std::invalid_argument(std::string(what) + ": got " + std::to_string(value) +
                                    ", times " + std::to_string(factor) +
                                    "; expected finite values within float32");
    }
    panels_.as<float>()[(output / kLanes * inputs_ + input) * kLanes + output % kLanes] = scaled;
}

PackedMatrix::PackedMatrix(MatrixView<float> w, double factor, const char* what)
    : PackedMatrix(w.rows, w.cols, what) {
    for (std::size_t j = 0; j < outputs_; ++j) {
        checkpoint();
        for (std::size_t d = 0; d < inputs_; ++d) set(j, d, w.row(j)[d], factor, what);
    }
}

PackedMatrix PackedMatrix::transposed(MatrixView<float> w, double factor, const char* what) {
    PackedMatrix packed(w.cols, w.rows, what);
    for (std::size_t d = 0; d < packed.inputs_; ++d) {
        checkpoint();
        for (std::size_t j = 0; j < packed.outputs_; ++j) {
            packed.set(j, d, w.row(d)[j], factor, what);
        }
    }
    return packed;
}

void PackedMatrix::multiply(const float* x, std::size_t rows, float* out, bool add) const noexcept {
    kernels::active().multiply_rows_f32({x, inputs_, rows, inputs_, panels_.as<float>(),
                                         inputs_ * kLanes, kLanes, outputs_, out, outputs_, add});
}

}  // namespace nearfield

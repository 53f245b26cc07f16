// Chain: transforms one after the other; an empty chain changes nothing.
#pragma once

#include <vector>

#include "transform/transform.h"

namespace nearfield {

class Chain final : public Transform {
public:
    /// std::invalid_argument where one gives another dimension than the next takes.
    explicit Chain(std::vector<SharedTransform> parts);

    std::size_t scratch(std::size_t rows, std::size_t dim) const noexcept override;
    void run(const float* x, std::size_t rows, std::size_t dim, float* out,
             float* scratch) const noexcept override;

private:
    /// Columns of the widest rows between two parts.
    std::size_t widest(std::size_t dim) const noexcept;

    std::vector<SharedTransform> parts_;
};

}  // namespace nearfield

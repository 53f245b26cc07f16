#include "transform/chain.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace nearfield {
namespace {

std::size_t first_in(const std::vector<SharedTransform>& parts) {
    for (const auto& part : parts) {
        if (part->in_dim() != 0) return part->in_dim();
    }
    return 0;
}

std::size_t last_out(const std::vector<SharedTransform>& parts) {
    std::size_t dim = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const std::size_t in = parts[i]->in_dim();
        if (dim != 0 && in != 0 && dim != in) {
            throw std::invalid_argument("transforms[" + std::to_string(i) + "]: takes dim " +
                                        std::to_string(in) + ", but gets " + std::to_string(dim) +
                                        " from the one before it");
        }
        if (parts[i]->out_dim() != 0) dim = parts[i]->out_dim();
    }
    return dim;
}

}  // namespace

Chain::Chain(std::vector<SharedTransform> parts)
    : Transform(first_in(parts), last_out(parts)), parts_(std::move(parts)) {}

std::size_t Chain::widest(std::size_t dim) const noexcept {
    std::size_t most = 0;
    for (std::size_t i = 0; i + 1 < parts_.size(); ++i) {
        dim = parts_[i]->out_dim(dim);
        most = std::max(most, dim);
    }
    return most;
}

std::size_t Chain::scratch(std::size_t rows, std::size_t dim) const noexcept {
    const std::size_t between = 2 * rows * widest(dim);
    std::size_t own = 0;
    for (const auto& part : parts_) {
        own = std::max(own, part->scratch(rows, dim));
        dim = part->out_dim(dim);
    }
    return between + own;
}

void Chain::run(const float* x, std::size_t rows, std::size_t dim, float* out,
                float* scratch) const noexcept {
    if (parts_.empty()) {
        std::copy_n(x, rows * dim, out);
        return;
    }
    const std::size_t step = rows * widest(dim);
    float* const halves[2] = {scratch, scratch + step};
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        float* const to = i + 1 == parts_.size() ? out : halves[i % 2];
        parts_[i]->run(x, rows, dim, to, scratch + 2 * step);
        dim = parts_[i]->out_dim(dim);
        x = to;
    }
}

}  // namespace nearfield

// SignCoding: how rows that a RabitqQuantizer codes become sign planes: its rotation, and a centre for every
// list.
//
// A plane and its factors are made from a row itself, about the sum of the list's centroid and the quantizer's
// mean: bounds are then of that row, whatever its code has lost or a file says of it.
// Centres are not part of the rotated queries (see SignBlock::put), so that one table of look-ups serves all
// lists. Cost: two rotations a row, one where rows of one list follow each other.
// Source: sign_blocks.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/types.h"
#include "quant/rabitq/codec.h"
#include "quant/rabitq/estimator.h"
#include "quant/rabitq/rabitq.h"
#include "quant/rabitq/sign_blocks.h"

namespace nearfield {

class SignCoding {
public:
    /// centroids: n x dim floats, of lists; null: one list about the mean alone. metric: cosine is for rows of
    /// length one.
    SignCoding(const RabitqQuantizer& quantizer, Metric metric, const float* centroids,
               std::size_t n);

    const RabitqCodec& codec() const noexcept { return codec_; }
    std::size_t plane_size() const noexcept { return codec_.plane_size(); }
    std::size_t lists() const noexcept { return squared_.size(); }
    const float* centre(std::size_t list) const noexcept {
        return centres_.data() + list * codec_.dim();
    }
    /// <q,c>, or -|q-c|^2 under l2: the same bits on every level.
    double key(const float* query, std::size_t list) const noexcept;
    /// |c|^2.
    double squared(std::size_t list) const noexcept { return squared_[list]; }
    /// The largest |c|.
    double longest() const noexcept { return longest_; }
    std::size_t bytes() const noexcept {
        return centres_.size() * sizeof(float) + squared_.size() * sizeof(double);
    }

    /// Memory of one thread.
    class Encoder {
    public:
        explicit Encoder(const SignCoding& coding);
        /// x: finite, of length one under cosine.
        void encode(const float* x, std::size_t list, const SignBlock& block, std::size_t lane);

    private:
        const SignCoding& coding_;
        RabitqCodec::Scratch scratch_;
        std::vector<std::uint8_t> code_;
        std::vector<std::uint8_t> bytes_;
        std::size_t list_ = SIZE_MAX;
        std::optional<RotatedQuery> rotated_;
    };

private:
    RabitqCodec codec_;
    Metric metric_;  // ip for cosine
    std::vector<float> centres_;
    std::vector<double> squared_;
    double longest_ = 0.0;
};

}  // namespace nearfield

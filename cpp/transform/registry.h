// make_transform: kinds by name, from arrays, numbers and words.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "transform/transform.h"

namespace nearfield {

/// What a transform is made of, by argument name. A vector is a matrix of one row. Views need to last until
/// the transform is made.
struct TransformSpec {
    std::map<std::string, MatrixView<float>> arrays;
    std::map<std::string, double> numbers;
    std::map<std::string, std::string> words;
};

/// std::invalid_argument for an unknown kind (the message lists the kinds), missing or misshapen arrays,
/// NaN or infinity.
SharedTransform make_transform(const std::string& kind, const TransformSpec& spec);

}  // namespace nearfield

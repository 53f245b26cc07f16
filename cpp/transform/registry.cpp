// A new kind is its header and one line in kKinds.
#include "transform/registry.h"

#include <cmath>
#include <stdexcept>
#include <string_view>

#include "transform/activation.h"
#include "transform/affine.h"
#include "transform/diagonal.h"
#include "transform/key_value.h"
#include "transform/low_rank.h"
#include "transform/residual_mlp.h"

namespace nearfield {
namespace {

/// Reads a spec and rejects what does not fit.
class Reader {
public:
    explicit Reader(const TransformSpec& spec) : spec_(spec) {}

    MatrixView<float> matrix(const char* name) const {
        const auto found = spec_.arrays.find(name);
        if (found == spec_.arrays.end()) fail(name, "is missing");
        const MatrixView<float> m = found->second;
        if (m.rows == 0 || m.cols == 0) fail(name, "is empty");
        for (std::size_t i = 0; i < m.rows; ++i) {
            for (std::size_t j = 0; j < m.cols; ++j) {
                if (!std::isfinite(m.row(i)[j])) fail(name, "holds NaN or infinity");
            }
        }
        return m;
    }
    MatrixView<float> matrix(const char* name, std::size_t rows, std::size_t cols) const {
        const MatrixView<float> m = matrix(name);
        if (m.rows != rows || m.cols != cols) {
            fail(name, "is " + std::to_string(m.rows) + " x " + std::to_string(m.cols) +
                           ", expected " + std::to_string(rows) + " x " + std::to_string(cols));
        }
        return m;
    }
    std::vector<float> vector(const char* name) const {
        const MatrixView<float> m = matrix(name);
        if (m.rows != 1) fail(name, "is a matrix, expected a vector");
        return {m.data, m.data + m.cols};
    }
    /// Empty where there is none.
    std::vector<float> optional(const char* name, std::size_t size) const {
        if (!spec_.arrays.contains(name)) return {};
        const MatrixView<float> m = matrix(name, 1, size);
        return {m.data, m.data + m.cols};
    }
    double number(const char* name) const {
        const auto found = spec_.numbers.find(name);
        if (found == spec_.numbers.end()) fail(name, "is missing");
        if (!std::isfinite(found->second)) fail(name, "is not finite");
        return found->second;
    }
    const std::string& word(const char* name) const {
        const auto found = spec_.words.find(name);
        if (found == spec_.words.end()) fail(name, "is missing");
        return found->second;
    }
    [[noreturn]] static void fail(const char* name, const std::string& what) {
        throw std::invalid_argument(std::string(name) + ": " + what);
    }

private:
    const TransformSpec& spec_;
};

SharedTransform make_affine(const Reader& r) {
    const auto w = r.matrix("w");
    return std::make_shared<Affine>(w, r.optional("b", w.rows));
}

SharedTransform make_low_rank(const Reader& r) {
    const auto a = r.matrix("a");
    return std::make_shared<LowRank>(a, r.matrix("b", a.cols, a.rows), r.number("scale"),
                                     r.optional("bias", a.cols));
}

SharedTransform make_key_value(const Reader& r) {
    const auto keys = r.matrix("keys");
    const double temperature = r.number("temperature");
    if (!(temperature > 0.0)) Reader::fail("temperature", "is not above 0");
    return std::make_shared<KeyValue>(keys, r.matrix("values", keys.rows, keys.cols), temperature);
}

SharedTransform make_residual_mlp(const Reader& r) {
    const auto w1 = r.matrix("w1");
    return std::make_shared<ResidualMlp>(
        w1, r.optional("b1", w1.rows), r.matrix("w2", w1.cols, w1.rows), r.optional("b2", w1.cols),
        r.number("gate"), activation_from(r.word("activation")));
}

SharedTransform make_diagonal(const Reader& r) { return std::make_shared<Diagonal>(r.vector("w")); }

SharedTransform make_activation(const Reader& r) {
    return std::make_shared<Activation>(activation_from(r.word("activation")));
}

SharedTransform make_normalize(const Reader&) { return std::make_shared<Normalize>(); }

struct Kind {
    std::string_view name;
    SharedTransform (*make)(const Reader&);
};

constexpr Kind kKinds[] = {
    {"activation", make_activation},     {"affine", make_affine},     {"diagonal", make_diagonal},
    {"key_value", make_key_value},       {"low_rank", make_low_rank}, {"normalize", make_normalize},
    {"residual_mlp", make_residual_mlp},
};

}  // namespace

SharedTransform make_transform(const std::string& kind, const TransformSpec& spec) {
    std::string names;
    for (const Kind& known : kKinds) {
        if (known.name == kind) return known.make(Reader(spec));
        names += (names.empty() ? "" : ", ") + std::string(known.name);
    }
    throw std::invalid_argument("kind: got '" + kind + "', expected one of " + names);
}

}  // namespace nearfield

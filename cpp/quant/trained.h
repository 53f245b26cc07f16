// What trained quantizers share: state that is published once, and the checks at their doors.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "base/view.h"
#include "quant/quantizer.h"

namespace nearfield {

/// State that is set once and never changes, so that readers need no lock.
template <class State>
class Trained {
public:
    Trained() = default;
    ~Trained() { delete state_.load(std::memory_order_acquire); }
    Trained(const Trained&) = delete;
    Trained& operator=(const Trained&) = delete;

    explicit operator bool() const noexcept {
        return state_.load(std::memory_order_acquire) != nullptr;
    }
    /// Throws NotTrained, naming what was attempted.
    const State& get(const char* attempt) const {
        const State* state = state_.load(std::memory_order_acquire);
        if (state == nullptr) {
            throw NotTrained(std::string(attempt) +
                             ": this quantizer is not trained; call train(x) first");
        }
        return *state;
    }
    /// std::invalid_argument where state is there already.
    void require_empty() const {
        if (*this) {
            throw std::invalid_argument(
                "this quantizer is trained already and codes may depend on it; "
                "make a new one to train again");
        }
    }
    void publish(std::unique_ptr<State> state) {
        const State* none = nullptr;
        if (!state_.compare_exchange_strong(none, state.get(), std::memory_order_acq_rel)) {
            require_empty();
        }
        state.release();
    }

private:
    std::atomic<const State*> state_{nullptr};
};

/// std::invalid_argument unless rows have `dim` columns.
void require_columns(MatrixView<float> rows, std::size_t dim);

/// std::invalid_argument naming the first row of [first, last) that is not finite.
void require_finite(MatrixView<float> rows, std::size_t first, std::size_t last);

/// As above, over all rows.
void require_finite(MatrixView<float> rows, int threads);

/// The parameter of this name and shape, finite; std::invalid_argument otherwise.
const Parameter& expect_parameter(std::span<const Parameter> parameters, const std::string& name,
                                  std::size_t rows, std::size_t cols);

/// std::invalid_argument unless there are exactly `count` parameters.
void expect_count(std::span<const Parameter> parameters, std::size_t count);

/// Rows that train() looks at: all, or `most` of them chosen by the seed, in ascending order.
std::vector<Id> training_rows(std::size_t rows, std::size_t most, std::uint64_t seed);

/// The same, copied.
std::vector<float> training_sample(MatrixView<float> rows, std::size_t most, std::uint64_t seed);

}  // namespace nearfield

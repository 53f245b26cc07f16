// FiniteCheck: the first row of a batch that is not finite, found by threads that see rows in any order.
#pragma once

#include <atomic>
#include <cstddef>

namespace nearfield {

class FiniteCheck {
public:
    /// Rows as they are given, and as a transform gives them.
    void before(const float* x, std::size_t dim, std::size_t number) noexcept;
    void after(const float* x, std::size_t dim, std::size_t number) noexcept;

    /// Throws std::invalid_argument that names the first row that is not finite, and what made it so.
    void raise(const char* by = "its transform") const;

private:
    static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

    std::atomic<std::size_t> before_{kNone};
    std::atomic<std::size_t> after_{kNone};
};

}  // namespace nearfield

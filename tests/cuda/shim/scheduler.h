// What the parts of the shim know of each other: the thread that runs, noise, waits, and what goes on beside
// the threads.
#pragma once

#include <cstddef>

namespace nearfield::shim {

std::size_t current_thread() noexcept;
std::size_t dynamic_shared_size() noexcept;
std::size_t noise_below(std::size_t n) noexcept;
void fill_with_noise(unsigned char* first, std::size_t bytes);

/// The current thread goes on some time after is_over(what, detail).
void wait_until(bool (*is_over)(const void* what, unsigned detail), const void* what,
                unsigned detail, const char* file, int line);

/// Forgets the block before.
void reset_async();

/// One copy that is under way lands; false where none is.
bool progress();

}  // namespace nearfield::shim

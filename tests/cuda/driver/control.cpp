// What a test asks the stand-in driver, beside what a driver is asked.
#include <algorithm>
#include <cstring>
#include <string>

#include "exports.h"

/// Writes what was done wrong with memory since the last call, a line each; how many lines.
STANDIN_EXPORT int standin_violations(char* text, int size) {
    auto& m = standin::machine();
    const std::lock_guard lock(m.mutex);
    std::string all;
    const auto found = m.memory.take_violations();
    for (const std::string& line : found) all += line + "\n";
    const auto room = static_cast<std::size_t>(std::max(size - 1, 0));
    const std::size_t length = std::min(all.size(), room);
    std::memcpy(text, all.data(), length);
    text[length] = '\0';
    return static_cast<int>(found.size());
}

STANDIN_EXPORT int standin_live_blocks() {
    auto& m = standin::machine();
    const std::lock_guard lock(m.mutex);
    return static_cast<int>(m.memory.live_blocks());
}

STANDIN_EXPORT long standin_calls(const char* function) {
    return static_cast<long>(standin::calls_of(function));
}

/// Kernels that have run, as against those that were launched.
STANDIN_EXPORT long standin_launches() {
    auto& m = standin::machine();
    const std::lock_guard lock(m.mutex);
    return static_cast<long>(m.launches);
}

/// Runs everything that is enqueued on a device.
STANDIN_EXPORT void standin_finish(int device) {
    auto& m = standin::machine();
    const std::lock_guard lock(m.mutex);
    m.streams.run_all(device);
}

/// Forgets a failed kernel, which a driver never does.
STANDIN_EXPORT void standin_forgive() {
    auto& m = standin::machine();
    const std::lock_guard lock(m.mutex);
    m.failed = 0;
    m.failure.clear();
}

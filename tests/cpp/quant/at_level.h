// Runs a case once per instruction set level of this machine, each in a process of its own, because a
// process chooses its level once. Levels the CPU lacks are visible skips.
// TEST_AT_LEVELS(name) { ... CHECK(...) ... } registers one case per level.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/cpu.h"
#include "check.h"

namespace at_level {

/// Runs body in a child whose level is `isa`; a failure there is a failure here, with its text.
inline void run(nearfield::Isa isa, void (*body)()) {
    const auto isas = nearfield::available_isas();
    if (std::find(isas.begin(), isas.end(), isa) == isas.end()) {
        SKIP(std::string("this CPU lacks ") + nearfield::isa_name(isa));
    }
    std::array<int, 2> pipe_ends{};
    CHECK_EQ(pipe(pipe_ends.data()), 0);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        setenv("NEARFIELD_ISA", nearfield::isa_name(isa), 1);
        std::string text;
        try {
            body();
        } catch (const std::exception& error) {
            text = error.what();
        }
        const bool wrote = write(pipe_ends[1], text.data(), text.size()) >= 0;
        _exit(text.empty() && wrote ? 0 : 1);
    }
    close(pipe_ends[1]);
    std::string text;
    std::array<char, 4096> piece{};
    for (ssize_t n; (n = read(pipe_ends[0], piece.data(), piece.size())) > 0;) {
        text.append(piece.data(), static_cast<std::size_t>(n));
    }
    close(pipe_ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        throw check::Failure(
            text.empty() ? "the process ended with status " + std::to_string(status) : text);
    }
}

}  // namespace at_level

#define TEST_AT_LEVELS(name)                                                  \
    static void name();                                                       \
    TEST(name##_portable) { at_level::run(nearfield::Isa::kPortable, name); } \
    TEST(name##_avx2) { at_level::run(nearfield::Isa::kAvx2, name); }         \
    TEST(name##_avx512) { at_level::run(nearfield::Isa::kAvx512, name); }     \
    TEST(name##_amx) { at_level::run(nearfield::Isa::kAmx, name); }           \
    static void name()

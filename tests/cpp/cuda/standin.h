// Tests on the stand-in driver: what each begins with.
#pragma once

#include <dlfcn.h>
#include <unistd.h>

#include <sys/wait.h>
#include <cstdlib>
#include <functional>
#include <string>

#include "base/error.h"
#include "check.h"

/// The driver is opened once a process: the environment is set before the first use.
inline void use_standin() {
    setenv("NEARFIELD_LIBCUDA", STANDIN, 1);
    setenv("NEARFIELD_NVRTC", STANDIN, 1);
    setenv("NEARFIELD_CACHE", "/dev/null/none", 1);
}

template <class Function>
Function standin_function(const char* name) {
    return reinterpret_cast<Function>(dlsym(dlopen(STANDIN, RTLD_NOW), name));
}

inline std::string violations() {
    char text[4096];
    standin_function<int (*)(char*, int)>("standin_violations")(text, sizeof text);
    return text;
}

/// What a DeviceError says, or "" where there is none.
inline std::string device_error(const std::function<void()>& body) {
    try {
        body();
    } catch (const nearfield::DeviceError& error) {
        return error.what();
    }
    return "";
}

/// Runs a body in a process of its own; true where it returned true.
inline bool in_child(const std::function<bool()>& body) {
    const pid_t child = fork();
    if (child == 0) {
        bool passed = false;
        try {
            passed = body();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
        }
        std::fflush(stderr);
        _exit(passed ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

inline bool says(const std::string& text, const std::string& part) {
    if (text.find(part) != std::string::npos) return true;
    std::fprintf(stderr, "got \"%s\", expected it to say \"%s\"\n", text.c_str(), part.c_str());
    return false;
}

// Error types the core throws beside the standard ones (std::invalid_argument, std::out_of_range,
// std::bad_alloc). Every message says what was got, what was expected and how to fix it.
#pragma once

#include <stdexcept>
#include <string>

namespace nearfield {

/// A file's bytes are not a valid nearfield file: the message names the section and the offset.
struct CorruptFile : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The operating system refused an I/O call; carries errno and the path.
struct IoError : std::runtime_error {
    IoError(int code_in, const char* what_in, const char* path_in)
        : std::runtime_error(what_in), code(code_in), path(path_in) {}
    int code;
    std::string path;
};

/// An index was searched before it was trained.
struct NotTrained : std::logic_error {
    using std::logic_error::logic_error;
};

/// An accelerator or what drives it is missing, too old, failed, or ran out of memory.
struct DeviceError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A long call was stopped by a signal (Ctrl-C) or by its caller.
struct Interrupted : std::runtime_error {
    Interrupted() : std::runtime_error("interrupted") {}
};

}  // namespace nearfield

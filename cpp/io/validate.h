// Every structural check of a file, in one place, run before any object is built from it.
//
// Idea: nothing is trusted in order of use: header, table, sizes, placement, padding and (with
// verify) contents are each checked completely, O(file) work, and allocate only the section list
// (at most 256 entries). What an index kind means by its sections is checked by that kind.
// Source: own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/archive.h"
#include "io/format.h"

namespace nearfield::io {

/// Checks the first bytes of a file of `file_size` bytes, so that nothing is allocated for a file
/// that is none of ours. `head` holds min(file_size, 64) bytes. Throws CorruptFile.
FileHeader validate_header(std::span<const std::byte> head, std::uint64_t file_size,
                           const std::string& path);

/// Checks the whole file and returns its sections, which point into `file`. Throws CorruptFile
/// naming the section and offset.
std::vector<Section> validate(std::span<const std::byte> file, const std::string& path,
                              bool verify);

}  // namespace nearfield::io

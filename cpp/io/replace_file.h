// Files out: replaces a file by new contents, all or nothing, and durably.
//
// Idea: write a temporary file in the directory of the target, sync it, rename it over the target,
// sync the directory. A reader sees the old file or the new one; so does a machine after a crash.
// A temporary is locked (flock) by its writer, so a later save to the same target can tell the
// litter of a dead process from the file of a live one even where process ids repeat, as they do
// in containers.
// Source: own; the sequence is the usual one of POSIX programs.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace nearfield::io {

/// Writes `pieces`, one after the other, as the new contents of `path`. Follows symbolic links;
/// keeps mode bits (and, where allowed, the owner) of a file that exists. durable=false leaves out
/// the two syncs.
/// Throws IoError. The old file is then intact and the temporary removed, with one exception that
/// its message states: the final sync of the directory failed, and the new file is in place
/// already.
void replace_file(const std::string& path, std::span<const std::span<const std::byte>> pieces,
                  bool durable);

}  // namespace nearfield::io

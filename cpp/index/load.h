// Opening an index file of any kind.
#pragma once

#include <memory>
#include <string>

#include "index/index.h"

namespace nearfield {

/// Throws CorruptFile (or IoError) before any index exists. `verify` checks checksums as well.
std::unique_ptr<Index> load_index(const std::string& path, bool mmap, bool verify);

}  // namespace nearfield

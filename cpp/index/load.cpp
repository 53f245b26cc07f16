#include "index/load.h"

#include "index/flat/flat_index.h"

namespace nearfield {

std::unique_ptr<Index> load_index(const std::string& path, bool mmap, bool verify) {
    return FlatIndex::load(path, mmap, verify);
}

}  // namespace nearfield

#include "index/load.h"

#include "index/flat/flat_index.h"
#include "index/ivf/ivf_index.h"
#include "index/row_file.h"
#include "io/archive.h"

namespace nearfield {

std::unique_ptr<Index> load_index(const std::string& path, bool mmap, bool verify) {
    const io::Archive archive = io::Archive::open(path, mmap, verify);
    switch (kind_of(archive)) {
        case IndexKind::kFlat: return FlatIndex::load(archive);
        case IndexKind::kIvf: return IvfIndex::load(archive);
    }
    return nullptr;
}

}  // namespace nearfield

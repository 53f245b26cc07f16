#include "index/load.h"

#include "index/flat/flat_index.h"
#include "index/hnsw/hnsw_index.h"
#include "index/ivf/ivf_index.h"
#include "index/row_file.h"
#include "io/archive.h"

namespace nearfield {
namespace {

std::unique_ptr<Index> of_kind(const io::Archive& archive) {
    switch (kind_of(archive)) {
        case IndexKind::kFlat: return FlatIndex::load(archive);
        case IndexKind::kIvf: return IvfIndex::load(archive);
        case IndexKind::kHnsw: return HnswIndex::load(archive);
    }
    return nullptr;
}

}  // namespace

std::unique_ptr<Index> load_index(const std::string& path, bool mmap, bool verify) {
    const io::Archive archive = io::Archive::open(path, mmap, verify);
    std::unique_ptr<Index> index = of_kind(archive);
    index->restore_tuning(archive);
    index->restore_adapters(archive);
    return index;
}

}  // namespace nearfield

// The section of a file that holds corpus adapters: their names and maps. What rows are like under them follows from
// the rows and is found anew at load, so that no file can make an answer wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "index/row_store.h"
#include "io/archive.h"
#include "transform/corpus_map.h"

namespace nearfield {

/// Bytes of a name.
inline constexpr std::size_t kLongestAdapterName = 256;

/// Empty for none.
std::vector<std::uint8_t> adapter_bytes(std::span<const NamedAdapter> adapters);

using NamedMap = std::pair<std::string, std::shared_ptr<const CorpusMap>>;

/// Those of an archive that has the section. CorruptFile or std::invalid_argument says what is wrong.
std::vector<NamedMap> read_adapters(const io::Archive& archive, std::size_t dim);

}  // namespace nearfield

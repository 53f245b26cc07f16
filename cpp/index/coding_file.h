// How a store's rows are coded, on disk: one section with the quantizer's name and all it was trained to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "index/row_coding.h"
#include "io/archive.h"

namespace nearfield {

/// Bytes of the kQuantizer section.
std::vector<std::uint8_t> coding_bytes(const RowCoding& coding);

/// What a file says; null where it has no such section. Centres are not set yet. CorruptFile names what is
/// wrong.
std::shared_ptr<RowCoding> read_coding(const io::Archive& archive, std::size_t dim);

}  // namespace nearfield

// The portable level's door: what kernels/resolve.cpp fills a table from.
#pragma once

#include "kernels/table.h"

namespace nearfield::kernels {

void fill_portable(KernelTable& table) noexcept;

}  // namespace nearfield::kernels

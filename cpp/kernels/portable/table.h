// Entry point of the portable level: it fills in every kernel.
#pragma once

#include "kernels/table.h"

namespace nearfield::kernels {

void fill_portable(KernelTable& table) noexcept;

}  // namespace nearfield::kernels

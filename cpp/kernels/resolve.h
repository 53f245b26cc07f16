// The door to the kernels: one table, chosen once by what the CPU has (or NEARFIELD_ISA says).
#pragma once

#include "base/cpu.h"
#include "kernels/table.h"

namespace nearfield::kernels {

/// The table of one level. Throws std::invalid_argument where the CPU lacks it.
const KernelTable& table_for(Isa isa);

/// The table of the selected level.
const KernelTable& active();

}  // namespace nearfield::kernels

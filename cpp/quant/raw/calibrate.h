// Chooses the kind of codes for a set of rows.
//
// Integer rows are byte codes. bfloat16 rows are bfloat16 codes where AMX multiplies them: nothing is
// copied. All others are tried: a sample of 256, evenly strided, is encoded both ways and searched with
// a few of its own rows; the figure that decides is the share of the sample that the bounds cannot
// exclude. Where one dimension dwarfs the others, the steps of a byte leave them no resolution and the
// share is large. Fewer rows than the sample are bytes.
// The choice moves work between scan and re-check, never an answer. Cost: two encodings of 256 rows.
// Source: own; docs/decisions/0004-byte-codes-first.md has measurements.
#pragma once

#include "base/view.h"
#include "quant/raw/codes.h"

namespace nearfield {

/// spec.kind is not looked at. Rows that are not finite give some kind.
ScanKind choose_kind(const CodeSpec& spec, const RowsView& rows);

}  // namespace nearfield

// Exhaustive search of rows that are found by a quantizer's codes: every list is looked into, or, where few
// rows may answer or a large share of them is wanted, all are scored outright.
//
// The answer is the k best by the float64 score of decoded rows, ties by smaller label; where rows are kept
// beside their codes, the k best of the `rerank` best, by the score of what was kept, or of those that bounds
// from signs let through (sign_scanner.h). It depends neither on the batch nor on threads.
#pragma once

#include "index/list_search.h"

namespace nearfield {

/// Lists of a store that has none: consecutive rows.
Lists segments_of(std::size_t rows);

void search_coded(const StoredRows& rows, const Lists& lists, MatrixView<float> queries,
                  const Wanted& wanted, int threads, const TopKOut& out);

/// The same of rows without lists, coded or not.
void search_exhaustively(const StoredRows& rows, MatrixView<float> queries, const Wanted& wanted,
                         int threads, const TopKOut& out);

}  // namespace nearfield

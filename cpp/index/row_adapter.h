// RowAdapter: what a search needs to know of every row of a store to find it as a linear map has it, instead of as
// it is: how long the mapped row is, and from that the numbers that scans hold beside codes.
//
// A map changes neither rows, codes, lists nor links. <q, M x> is the score of the folded query M^T q
// (transform/corpus_map.h); all that is left of M is |M x|, which takes the place of |x| wherever lengths count:
// as a factor (cosine) or as a term (l2). Bounds stay certain: they are bounds of <f, x>, as before.
// Where rows exist as codes, it is decoded rows that are mapped; under cosine these count for as long as they are
// longer or shorter than decoded.
// Memory: 12 bytes a row (8 of cosine in bfloat16 scans and under inner products less), 20 where rows are kept
// beside codes. Cost: see CorpusMap.
#pragma once

#include <cstddef>
#include <memory>

#include "index/column.h"
#include "transform/corpus_map.h"

namespace nearfield {

struct RowStore;

struct RowAdapter {
    std::shared_ptr<const CorpusMap> map;
    std::size_t count = 0;   // rows that are described
    Column norms;            // cosine, l2: |M x| of rows that are kept, float64
    Column code_norms;       // the same of decoded rows; cosine: as a multiple of their length
    Column scale;            // cosine, not coded; see CodeView
    Column spread;           // likewise
    Column bias;             // l2: -|M x|^2 / 2, in units where rows are not coded
    Column walk;             // by nodes of a graph: see hnsw/walk_codes.h
    Column walked;           // the nodes' rows, as the graph had them
    double walk_unit = 0.0;  // and its unit
    double longest =
        0.0;  // of code_norms, as scores count lengths: l2 the largest, cosine of their inverse
    double stretch = 0.0;  // cosine: the largest |x| / |M x| of rows that are kept

    std::size_t bytes() const noexcept;

    /// Describes rows [count, store.count), whose codes must be those that earlier rows had when they were
    /// described.
    void extend(const RowStore& store, int threads);
};

/// Tells the adapters of a store about rows that have come, or about all of them anew where rows have moved or
/// have been encoded anew.
void describe_rows(RowStore& store, bool anew, int threads);

}  // namespace nearfield

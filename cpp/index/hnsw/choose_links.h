// choose_links: of a node's candidates, nearest first, those that no nearer chosen one stands before.
//
// A candidate c of node u is left out if some chosen s has slack * d(s, c) <= d(u, c). slack 1 is Algorithm 4
// of HNSW; more than 1 keeps links that are longer (RobustPrune's alpha, squared).
// Source: Malkov & Yashunin, arXiv:1603.09320, Algorithm 4; Jayaram Subramanya et al., "DiskANN" (NeurIPS
// 2019), Algorithm 2.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "index/hnsw/byte_rows.h"

namespace nearfield {

/// A node that may be linked to, and how far it is.
struct Near {
    float distance;
    Id node;

    friend bool operator<(const Near& a, const Near& b) noexcept {
        return a.distance < b.distance || (a.distance == b.distance && a.node < b.node);
    }
};

/// The slack of all graphs: a little more than 1 keeps about half as many links again.
inline constexpr float kLinkSlack = 1.1f;

class LinkChooser {
public:
    /// rows: at least of every candidate's node. slack counts only where rows are by_distance().
    LinkChooser(const ByteRows& rows, float slack) : rows_(rows), slack_(slack) {}

    /// candidates: different nodes in ascending order, row numbers of `rows`. Returns up to `most` of them in
    /// that order; valid until the next call.
    std::span<const Near> choose(std::span<const Near> candidates, std::size_t most);

private:
    const ByteRows& rows_;
    float slack_;
    std::vector<Near> chosen_;
    std::vector<Near> left_;
    std::vector<Id> ids_;
    std::vector<float> between_;
};

}  // namespace nearfield

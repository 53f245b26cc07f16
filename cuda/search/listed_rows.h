// Rows in inverted lists on a device, and what a search of them is asked.
//
// How rows are multiplied and scored follows from their type (ScanForm); everything else of a search by lists
// takes them as they come.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "cuda/search/request.h"

namespace nearfield::cuda {

/// What the host has to know of lists: how much room any of them take, how many rows any of them hold.
class ListSizes {
public:
    explicit ListSizes(std::span<const std::uint32_t> rows_of_lists);

    std::size_t lists() const noexcept { return most_groups_.size() - 1; }
    std::size_t rows() const noexcept { return fewest_rows_.back(); }
    std::size_t longest() const noexcept { return longest_; }
    /// Of any `nprobe` lists, at most lists().
    std::size_t most_groups(std::size_t nprobe) const noexcept { return most_groups_[nprobe]; }
    std::size_t fewest_rows(std::size_t nprobe) const noexcept { return fewest_rows_[nprobe]; }

private:
    std::vector<std::size_t> most_groups_;
    std::vector<std::size_t> fewest_rows_;
    std::size_t longest_ = 0;
};

/// How rows of a type are scanned, by the kernels' names.
struct ScanForm {
    const char* stored;  // what scores are made of
    const char* query;   // what queries become
    const char* source;  // of the scan
    const char* scan;
    std::size_t tile_queries;
    std::size_t tile_rows;
    std::size_t query_size;   // bytes of an element
    bool is_bytes;            // products of whole numbers
    std::int32_t zero_point;  // what bytes are above their values

    std::size_t shared_bytes() const noexcept { return 240 * (tile_queries + tile_rows); }
};

ScanForm scan_form(DType dtype) noexcept;

/// Where rows lie that are searched by lists. Addresses are of the device.
struct ListedRows {
    DeviceRows rows;            // list by list; int8 as the value + 128
    CUdeviceptr constants = 0;  // of the rows, by RowConstants
    CUdeviceptr offsets = 0;    // uint32, lists + 2: where each starts; the last list is empty
    // uint32 a row: by which ties are decided, and what labels are by; 0: its number
    CUdeviceptr names = 0;
    CUdeviceptr order = 0;  // uint32 a row: its place in masks; 0 where there are none
    DeviceRows centroids;   // float32, a list each
    CUdeviceptr centroid_constants = 0;
    ListSizes sizes;
    std::shared_ptr<const ListedRows> grouped;  // centroids in lists of their own; null: in none
    // Where these are a part of the rows: offsets of all of them, which `sizes` are of too. 0: they are all.
    CUdeviceptr whole_offsets = 0;
    CUdeviceptr whole_order = 0;  // likewise, uint32 a row; 0: the same as `order`
    CUdeviceptr groups = 0;  // uint32 a list: groups looked into for so many lists; 0: all of them
    bool are_units = false;  // under cosine they count as unit vectors, whatever their length

    CUdeviceptr all_offsets() const noexcept {
        return whole_offsets != 0 ? whole_offsets : offsets;
    }
    CUdeviceptr all_order() const noexcept { return whole_order != 0 ? whole_order : order; }
    /// Of any `nprobe` lists, at most. A list has one group, at most, that is not full.
    std::size_t most_groups(std::size_t nprobe) const noexcept {
        return std::min(sizes.most_groups(nprobe),
                        rows.rows / kGroupRows + std::min(nprobe, rows.rows));
    }
};

struct ListRequest {
    DeviceRows queries;
    const ListedRows& listed;
    Metric metric = Metric::kL2;
    std::size_t k = 1;
    std::size_t nprobe = 1;
    double margin = std::numeric_limits<double>::infinity();
    CUdeviceptr mask = 0;    // a byte a row, zero for no; 0: every row may answer
    CUdeviceptr labels = 0;  // int64 a name; 0: a row is called by its name
    // Of the groups that centroids lie in, so many, the nearest, are looked into for nprobe lists; 0: every
    // centroid is looked at. They hold as many lists at least, whichever they are.
    std::size_t groups = 0;

    /// As it is answered: where every row does, no list is left out.
    ListRequest resolved() const noexcept;

    bool is_exhaustive() const noexcept {
        return nprobe == listed.sizes.lists() && margin == std::numeric_limits<double>::infinity();
    }
    /// Whether the lists near a query may hold fewer than k rows that may answer, others not.
    bool may_widen() const noexcept {
        const bool is_plain = mask == 0 && margin == std::numeric_limits<double>::infinity();
        return !is_exhaustive() && !(is_plain && listed.sizes.fewest_rows(nprobe) >= k);
    }
    /// By which rows are scored.
    Metric row_metric() const noexcept {
        return metric == Metric::kCosine && listed.are_units ? Metric::kIp : metric;
    }
    /// What the last steps, which know nothing of lists, are asked.
    SearchRequest by_names() const noexcept {
        return {queries, listed.rows, metric, k, 0, labels, 0, false};
    }
};

}  // namespace nearfield::cuda

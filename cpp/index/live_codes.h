// LiveCodes: the codes of the live rows of a store by rising label, for whoever copies them elsewhere.
//
// By label, so that ties between rows there go to the smaller label as they do here.
// Cost: 4 bytes a row; codes are copied where they are asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "index/row_store.h"

namespace nearfield {

class LiveCodes {
public:
    /// Of a store with codes and without lists, which it keeps.
    explicit LiveCodes(std::shared_ptr<const RowStore> store);

    std::size_t size() const noexcept { return rows_.size(); }
    const Quantizer& quantizer() const noexcept { return *store_->coding->quantizer; }

    std::vector<std::int64_t> labels() const;
    /// As how many-th of the live rows each came, from 0: its place in masks.
    std::vector<Id> places() const;
    /// Writes the codes of rows [first, first + count). std::invalid_argument where there are not so many.
    void copy(std::size_t first, std::size_t count, std::uint8_t* out) const;

private:
    std::shared_ptr<const RowStore> store_;
    std::vector<Id> rows_;
};

}  // namespace nearfield

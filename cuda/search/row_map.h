// RowMap: programs of transforms on a device, and which of them each row of a batch goes through.
//
// Rows with the same program are sorted together, so that many adapters in a batch cost what one does, and
// nothing waits to learn how many rows each has. Results are the CPU engine's, to the bit.
// Source: kernels/row_maps.cuh.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

struct RowMap {
    CUdeviceptr programs = 0;  // Program, see kernels/row_maps.cuh
    std::size_t count = 1;     // of them
    CUdeviceptr numbers = 0;  // uint32 per row given: 0 none, n program n - 1; 0: the first for all
    CUdeviceptr bags = 0;     // of modulation, see Bags
    std::size_t vocabulary = 0;  // likewise
    std::size_t per_query = 1;   // rows given for each taken
    std::size_t widest = 0;      // columns between any two steps
    std::size_t hidden = 0;      // the widest hidden layer
    std::size_t partials = 0;    // see multiply() in kernels/engine_math.cuh, for one row
    bool has_spare = false;      // a step needs its rows twice
    CUdeviceptr is_beyond =
        0;  // uint32 that becomes 1 where a row given is not finite; 0: nobody asks
};

class RowMapper {
public:
    /// For `given` rows. Reserves scratch memory.
    RowMapper(const RowMap& map, std::size_t given, Scratch& scratch);

    /// Enqueues the map of in.rows rows; out: in.rows * per_query rows of float32, float16 or bfloat16.
    void run(const StreamRef& stream, const DeviceRows& in, const DeviceRows& out,
             CUdeviceptr scratch) const;

private:
    void sort(const StreamRef& stream, CUdeviceptr scratch) const;

    RowMap map_;
    std::size_t given_;
    std::size_t tile_ = 1;    // rows of one
    std::size_t floats_ = 0;  // of memory a block
    bool shared_ = true;      // memory
    std::size_t memory_ = 0, order_ = 0, offsets_ = 0, counts_ = 0;
    std::size_t sorted_[2] = {0, 0}, moved_ = 0;
};

/// Enqueues the numbers of ids, which are int64 or int32: of -1 0, of others one more, of those that are not
/// below `count` a number that stands for no program.
void numbers_of_ids(const StreamRef& stream, CUdeviceptr ids, bool are_wide, std::size_t rows,
                    std::size_t count, CUdeviceptr numbers);

}  // namespace nearfield::cuda

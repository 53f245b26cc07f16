// RowMap: programs of transforms on a device, and which of them each row of a batch goes through.
//
// Rows with the same program are sorted together, so that many adapters in a batch cost what one does, and
// nothing waits to learn how many rows each has; a few rows take a block each instead. Results are the CPU engine's, to the bit.
// Source: kernels/row_maps.cuh.
#pragma once

#include <string>

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

/// Where a scan reads mapped queries: see Preparation in kernels/prepare.cuh.
struct PreparedForm {
    DType dtype = DType::kF32;  // of the elements
    Metric metric = Metric::kL2;
    CUdeviceptr limits = 0;
    CUdeviceptr prepared = 0;
    std::size_t stride = 0;
    CUdeviceptr unit = 0;
    CUdeviceptr margin = 0;
    CUdeviceptr norms = 0;
    CUdeviceptr init = 0;
};

class RowMapper {
public:
    /// For `given` rows. Reserves scratch memory.
    RowMapper(const RowMap& map, std::size_t given, Scratch& scratch);

    /// Enqueues the map of in.rows rows; out: in.rows * per_query rows of float32, float16 or bfloat16.
    void run(const StreamRef& stream, const DeviceRows& in, const DeviceRows& out,
             CUdeviceptr scratch) const;

    /// Likewise, to dense float32 rows of `columns` and, in the same launch, to what a scan reads.
    void run_prepared(const StreamRef& stream, const DeviceRows& in, CUdeviceptr out,
                      std::size_t columns, const PreparedForm& form, CUdeviceptr scratch) const;

private:
    template <class... More>
    void enqueue(const StreamRef& stream, const char* source, const std::string& name,
                 const DeviceRows& in, CUdeviceptr scratch, const More&... more) const;
    void sort(const StreamRef& stream, CUdeviceptr scratch) const;

    RowMap map_;
    std::size_t given_;
    std::size_t tile_ = 1;    // rows of one
    std::size_t floats_ = 0;  // of memory a block
    bool shared_ = true;      // memory
    bool sorts_ = false;
    std::size_t memory_ = 0, order_ = 0, offsets_ = 0, counts_ = 0;
    std::size_t sorted_[2] = {0, 0}, moved_ = 0;
};

/// Enqueues the numbers of ids, which are int64 or int32: of -1 0, of others one more, of those that are not
/// below `count` a number that stands for no program.
void numbers_of_ids(const StreamRef& stream, CUdeviceptr ids, bool are_wide, std::size_t rows,
                    std::size_t count, CUdeviceptr numbers);

}  // namespace nearfield::cuda

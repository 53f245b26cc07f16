#include "cuda/search/mapped_queries.h"

namespace nearfield::cuda {

MappedQueries::MappedQueries(const SearchRequest& request, Scratch& scratch)
    : r_(request),
      floats_(scratch.take(r_.queries.rows * r_.queries.cols * sizeof(float))),
      mapper_(r_.unmapped->map, r_.queries.rows, scratch) {}

void MappedQueries::make(const StreamRef& stream, CUdeviceptr at) const {
    const std::size_t dim = r_.queries.cols;
    mapper_.run(stream, r_.unmapped->rows, {floats(at), r_.queries.rows, dim, dim, DType::kF32},
                at);
}

void MappedQueries::make(const StreamRef& stream, const PreparedForm& form, CUdeviceptr at) const {
    mapper_.run_prepared(stream, r_.unmapped->rows, floats(at), r_.queries.cols, form, at);
}

}  // namespace nearfield::cuda

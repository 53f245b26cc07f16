// The rank of the sample from which thresholds come, and which searches go by thresholds.
#include "cuda/search/threshold_pass.h"

#include "check.h"

using namespace nearfield;

namespace {

cuda::SearchRequest request(std::size_t queries, std::size_t rows, std::size_t k) {
    cuda::SearchRequest r;
    r.queries = {0, queries, 8, 8, DType::kF32};
    r.rows = {0, rows, 8, 8, DType::kBF16};
    r.k = k;
    r.scan = cuda::Scan::kThresholds;
    return r;
}

}  // namespace

TEST(ranks_of_the_binomial) {
    // The smallest r with P(Binomial(k, 1/64) >= r) < 2e-4, by whole-number binomials in Python.
    CHECK_EQ(cuda::sample_rank(1), std::size_t{2});
    CHECK_EQ(cuda::sample_rank(2), std::size_t{3});
    CHECK_EQ(cuda::sample_rank(6), std::size_t{3});
    CHECK_EQ(cuda::sample_rank(10), std::size_t{4});
    CHECK_EQ(cuda::sample_rank(100), std::size_t{8});
    CHECK_EQ(cuda::sample_rank(1000), std::size_t{32});
}

TEST(few_queries_or_rows_are_scanned_by_groups) {
    CHECK(cuda::ThresholdPass::suits(request(65, 65537, 100)));
    CHECK(!cuda::ThresholdPass::suits(request(64, 65537, 100)));
    CHECK(!cuda::ThresholdPass::suits(request(65, 60000, 100)));
    CHECK(!cuda::ThresholdPass::suits(request(65, 65537, 2000)));
    auto r = request(65, 65537, 100);
    r.mask = 256;
    CHECK(!cuda::ThresholdPass::suits(r));
    r = request(65, 65537, 100);
    r.rows.dtype = DType::kU8;  // rows of bytes suit as well
    CHECK(cuda::ThresholdPass::suits(r));
    r = request(65, 65537, 100);
    r.fold = cuda::FoldedMap{};
    CHECK(!cuda::ThresholdPass::suits(r));
    r = request(65, 65537, 100);
    r.exclude_self = true;
    CHECK(!cuda::ThresholdPass::suits(r));
    r = request(65, 65537, 100);
    r.scan = cuda::SearchRequest{}.scan;
    CHECK(!cuda::ThresholdPass::suits(r));
}

// One query against scalar codes, see scalar_scorer.h.
#include "quant/sq/scalar_scorer.h"

#include <algorithm>

#include "kernels/resolve.h"
#include "quant/packing.h"

namespace nearfield {
namespace {

constexpr std::size_t kScoredRows = 64;  // 4 bit codes unpacked at a time

class ScalarScorer final : public CodeScorer {
public:
    ScalarScorer(const ScalarQuantizer::Ranges& ranges, std::size_t dim, Metric metric,
                 const float* query)
        : ranges_(ranges), dim_(dim), metric_(metric), query_(round_up(dim, 32), 0.0f) {
        std::copy(query, query + dim, query_.begin());
        if (ranges.bits == 4) bytes_.resize(kScoredRows * dim);
    }

    void scores(const std::uint8_t* codes, std::size_t n, float* out) const noexcept override {
        if (ranges_.bits == 8) {
            score_bytes(codes, n, out);
            return;
        }
        const std::size_t code_size = (dim_ + 1) / 2;
        for (std::size_t first = 0; first < n; first += kScoredRows) {
            const std::size_t count = std::min(kScoredRows, n - first);
            for (std::size_t i = 0; i < count; ++i) {
                unpack_nibbles(codes + (first + i) * code_size, dim_, bytes_.data() + i * dim_);
            }
            score_bytes(bytes_.data(), count, out + first);
        }
    }

private:
    void score_bytes(const std::uint8_t* codes, std::size_t n, float* out) const noexcept {
        const kernels::ScalarArgs args{
            query_.data(), ranges_.base.data(), ranges_.step.data(), dim_, codes, n};
        const auto& kernel = kernels::active();
        (metric_ == Metric::kL2 ? kernel.scalar_l2 : kernel.scalar_ip)(args, out);
    }

    const ScalarQuantizer::Ranges& ranges_;
    std::size_t dim_;
    Metric metric_;
    std::vector<float> query_;
    mutable std::vector<std::uint8_t> bytes_;  // a scorer belongs to one thread
};

}  // namespace

std::unique_ptr<CodeScorer> make_scalar_scorer(const ScalarQuantizer::Ranges& ranges,
                                               std::size_t dim, Metric metric, const float* query) {
    return std::make_unique<ScalarScorer>(ranges, dim, metric, query);
}

}  // namespace nearfield

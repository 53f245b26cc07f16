#include "quant/rabitq/rabitq.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/resolve.h"
#include "quant/rabitq/mean.h"

namespace nearfield {
namespace {

constexpr std::size_t kRowsPerTask = 64;
constexpr int kSeedParts = 4;  // 16 bits each: a float holds them exactly

double norm_of(const std::vector<float>& x) noexcept {
    return std::sqrt(kernels::active().ip_f32(x.data(), x.data(), x.size()));
}

void require_dim(MatrixView<float> rows, std::size_t dim) {
    if (rows.cols == dim) return;
    throw std::invalid_argument("rows have " + std::to_string(rows.cols) +
                                " dimensions, this quantizer has " + std::to_string(dim));
}

/// Scores of decoded rows: <q,c> + scale <Rq,y>, or -|q - c - scale * R^T y|^2.
class DecodedScorer final : public CodeScorer {
public:
    DecodedScorer(std::shared_ptr<const RabitqCodec> codec, Metric metric, const float* query,
                  const std::vector<float>& centre)
        : codec_(std::move(codec)),
          l2_(metric == Metric::kL2),
          query_(*codec_, query, l2_ ? centre.data() : nullptr),
          bytes_(codec_->rotated_dim()),
          constant_(l2_ ? -query_.norm * query_.norm
                        : kernels::active().ip_f32(query, centre.data(), centre.size())) {}

    void scores(const std::uint8_t* codes, std::size_t n, float* out) const noexcept override {
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint8_t* code = codes + i * codec_->code_size();
            const RabitqFactors f = codec_->factors(code);
            codec_->unpack(code, bytes_.data());
            const double scale = static_cast<double>(f.scale);
            const double inner = scale * query_.dot(bytes_.data());
            out[i] = static_cast<float>(constant_ + (l2_ ? 2.0 * inner - length(f) : inner));
        }
    }

private:
    /// |x' - c|^2.
    static double length(const RabitqFactors& f) noexcept {
        if (!(f.scale > 0.0f)) return 0.0;
        const double norm = static_cast<double>(f.norm);
        return norm * norm * (static_cast<double>(f.scale) / static_cast<double>(f.unbiased));
    }

    std::shared_ptr<const RabitqCodec> codec_;
    bool l2_;
    RotatedQuery query_;
    mutable std::vector<std::uint8_t> bytes_;
    double constant_;
};

/// Unbiased estimates for the original rows.
class EstimatingScorer final : public CodeScorer {
public:
    EstimatingScorer(std::shared_ptr<const RabitqCodec> codec, Metric metric, const float* query,
                     const float* centre)
        : codec_(std::move(codec)),
          estimator_(*codec_, metric, query, centre),
          bytes_(codec_->rotated_dim()) {}

    void scores(const std::uint8_t* codes, std::size_t n, float* out) const noexcept override {
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint8_t* code = codes + i * codec_->code_size();
            codec_->unpack(code, bytes_.data());
            const double dot = estimator_.query().dot(bytes_.data());
            out[i] =
                static_cast<float>(estimator_.from_dot(dot, 0.0, codec_->factors(code), 0.0).score);
        }
    }

private:
    std::shared_ptr<const RabitqCodec> codec_;
    RabitqEstimator estimator_;
    mutable std::vector<std::uint8_t> bytes_;
};

}  // namespace

RabitqQuantizer::RabitqQuantizer(std::size_t dim, int bits)
    : dim_(dim), codec_(std::make_shared<const RabitqCodec>(dim, bits, 0)) {}

std::string RabitqQuantizer::name() const { return "rabitq" + std::to_string(codec_->bits()); }

const float* RabitqQuantizer::centre() const {
    if (!is_trained()) throw NotTrained(name() + " has not been trained: call train() first");
    return centre_.data();
}

void RabitqQuantizer::train(MatrixView<float> rows, std::uint64_t seed, int threads) {
    require_dim(rows, dim_);
    auto mean = mean_of_rows(rows, threads);
    if (!(norm_of(mean) <= kMostRabitqNorm)) {
        throw std::invalid_argument("the mean of the training rows exceeds the norm 1e36");
    }
    codec_ = std::make_shared<const RabitqCodec>(dim_, codec_->bits(), seed);
    centre_ = std::move(mean);
}

void RabitqQuantizer::encode(MatrixView<float> rows, std::uint8_t* codes, int threads) const {
    require_dim(rows, dim_);
    const float* middle = centre();
    std::vector<RabitqCodec::Scratch> scratch(static_cast<std::size_t>(max_workers(threads)),
                                              RabitqCodec::Scratch(*codec_));
    const std::size_t tasks = (rows.rows + kRowsPerTask - 1) / kRowsPerTask;
    std::vector<std::size_t> bad(tasks, rows.rows);
    const auto& table = kernels::active();
    parallel_for(tasks, threads, [&](std::size_t task, int worker) {
        const std::size_t end = std::min(rows.rows, (task + 1) * kRowsPerTask);
        for (std::size_t i = task * kRowsPerTask; i < end; ++i) {
            const bool finite =
                table.max_abs(rows.row(i), dim_) <= std::numeric_limits<float>::max();
            if (finite &&
                codec_->encode(rows.row(i), middle, scratch[static_cast<std::size_t>(worker)],
                               codes + i * code_size())) {
                continue;
            }
            bad[task] = i;
            return;
        }
    });
    const auto first = tasks == 0 ? bad.end() : std::min_element(bad.begin(), bad.end());
    if (first != bad.end() && *first < rows.rows) {
        throw std::invalid_argument("row " + std::to_string(*first) +
                                    " is not finite, or its norm exceeds 1e36");
    }
}

void RabitqQuantizer::decode(const std::uint8_t* codes, std::size_t n, float* rows,
                             int threads) const {
    const float* middle = centre();
    std::vector<RabitqCodec::Scratch> scratch(static_cast<std::size_t>(max_workers(threads)),
                                              RabitqCodec::Scratch(*codec_));
    parallel_for((n + kRowsPerTask - 1) / kRowsPerTask, threads, [&](std::size_t task, int worker) {
        const std::size_t end = std::min(n, (task + 1) * kRowsPerTask);
        for (std::size_t i = task * kRowsPerTask; i < end; ++i) {
            codec_->decode(codes + i * code_size(), middle,
                           scratch[static_cast<std::size_t>(worker)], rows + i * dim_);
        }
    });
}

std::unique_ptr<CodeScorer> RabitqQuantizer::make_scorer(Metric metric, const float* query) const {
    static_cast<void>(centre());
    if (metric == Metric::kCosine) {
        throw std::invalid_argument(
            "codes are scored by l2 or ip; normalise and use ip for cosine");
    }
    return std::make_unique<DecodedScorer>(codec_, metric, query, centre_);
}

std::unique_ptr<CodeScorer> RabitqQuantizer::make_estimating_scorer(Metric metric,
                                                                    const float* query) const {
    return std::make_unique<EstimatingScorer>(codec_, metric, query, centre());
}

RabitqEstimator RabitqQuantizer::estimator(Metric metric, const float* query) const {
    return {*codec_, metric, query, centre()};
}

std::vector<Parameter> RabitqQuantizer::parameters() const {
    std::vector<float> seed;
    for (int part = 0; part < kSeedParts; ++part) {
        seed.push_back(static_cast<float>((codec_->rotation().seed() >> (16 * part)) & 0xffff));
    }
    static_cast<void>(centre());
    return {{"centre", 1, dim_, centre_}, {"seed", 1, kSeedParts, seed}};
}

void RabitqQuantizer::restore(std::span<const Parameter> parameters) {
    const auto fits = [&](std::size_t i, const char* what, std::size_t cols) {
        const Parameter& p = parameters[i];
        return p.name == what && p.rows == 1 && p.cols == cols && p.values.size() == cols;
    };
    if (parameters.size() != 2 || !fits(0, "centre", dim_) || !fits(1, "seed", kSeedParts)) {
        throw std::invalid_argument(name() + " needs the parameters centre (1 x " +
                                    std::to_string(dim_) + ") and seed (1 x 4)");
    }
    const bool finite = std::all_of(parameters[0].values.begin(), parameters[0].values.end(),
                                    [](float v) { return std::isfinite(v); });
    if (!finite || !(norm_of(parameters[0].values) <= kMostRabitqNorm)) {
        throw std::invalid_argument(
            name() + ": the parameter centre is not finite, or beyond the norm 1e36");
    }
    std::uint64_t seed = 0;
    for (int part = 0; part < kSeedParts; ++part) {
        const float value = parameters[1].values[static_cast<std::size_t>(part)];
        if (!(value >= 0.0f && value <= 65535.0f) || value != std::trunc(value)) {
            throw std::invalid_argument(name() +
                                        ": the parameter seed holds whole numbers below 65536");
        }
        seed |= static_cast<std::uint64_t>(value) << (16 * part);
    }
    auto codec = std::make_shared<const RabitqCodec>(dim_, codec_->bits(), seed);
    auto centre = parameters[0].values;
    codec_ = std::move(codec);
    centre_ = std::move(centre);
}

}  // namespace nearfield

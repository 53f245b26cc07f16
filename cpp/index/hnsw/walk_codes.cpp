#include "index/hnsw/walk_codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/parallel.h"
#include "quant/raw/codes.h"
#include "quant/raw/exact.h"
#include "transform/folded_query.h"

namespace nearfield {
namespace {

constexpr int kBits = 4;
constexpr std::size_t kChunk = 128;       // numbers in 64 bytes of a record
constexpr std::size_t kBlock = 64;        // rows encoded with the same scratch
constexpr std::size_t kRowsAhead = 4;     // rows asked for before they are read
constexpr std::size_t kNodesAtOnce = 64;  // nodes of one kernel call

/// Rows further from the centre than RowReader's can be, and rows without a code.
constexpr float kWorstBias = -0x1p120f;
constexpr double kFurthest = 4.0 * RowReader::kLongest;

/// About the length of a code's error, for a row of length 1.
constexpr double kCodeError = 0.1;

/// Elements of queries are kept within these, by a power of two. Further out, a query's length no longer
/// matters, and products stay finite: |q| < 2^59, |r| < 2^52.
constexpr double kMostElement = 0x1p50;
constexpr double kLeastElement = 0x1p-50;

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// What a record holds behind its code.
struct Tail {
    float unbiased;
    float bias;
};

/// Two halves of `half` numbers each, side by side in as many bytes.
void pack_halves(const std::uint8_t* numbers, std::size_t half, std::uint8_t* out) noexcept {
    for (std::size_t j = 0; j < half; ++j) {
        out[j] = static_cast<std::uint8_t>(numbers[j] | (numbers[half + j] << 4));
    }
}

/// n numbers, n even.
void pack_numbers(const std::uint8_t* numbers, std::size_t n, std::uint8_t* out) noexcept {
    const std::size_t whole = n / kChunk * kChunk;
    for (std::size_t first = 0; first < whole; first += kChunk) {
        pack_halves(numbers + first, kChunk / 2, out + first / 2);
    }
    pack_halves(numbers + whole, (n - whole) / 2, out + whole / 2);
}

/// What a query, whose largest element is about this, is multiplied with beside the unit.
double query_factor(double largest) noexcept {
    if (largest > kMostElement) return kMostElement * unit_for(largest);
    if (largest > 0.0 && largest < kLeastElement) return kLeastElement * unit_for(largest);
    return 1.0;
}

}  // namespace

WalkCodes::WalkCodes(std::size_t dim, Metric metric, std::uint64_t seed, std::vector<float> centre,
                     double unit)
    : dim_(dim),
      metric_(metric),
      unit_(unit),
      length_(metric == Metric::kCosine ? 1.0 : std::numeric_limits<double>::infinity()),
      codec_(std::make_shared<const RabitqCodec>(dim, kBits, seed)),
      centre_(std::make_shared<const std::vector<float>>(std::move(centre))) {
    const std::size_t n =
        codec_->rotated_dim();  // a multiple of 8: the halves of its rest are equal
    code_bytes_ = n / 2;
    depth_ = ceil_div(n, kChunk) * (kChunk / 2);
    // What the kernel reads of the last record ends with it: behind it a writer may be appending.
    stride_ = std::max(round_up(code_bytes_ + sizeof(Tail), 8), depth_);
}

/// One row at a time; for one thread.
class WalkCodes::Encoder {
public:
    explicit Encoder(const WalkCodes& codes)
        : codes_(codes),
          codec_(*codes.codec_),
          scratch_(codec_),
          row_(codes.dim_),
          code_(codec_.code_size()),
          numbers_(codec_.rotated_dim()) {}

    void encode(const RowReader& rows, Id row, std::uint8_t* record) {
        rows.read(row, row_.data());
        std::memset(record, 0, codes_.stride_);
        const bool by_distance = codes_.metric_ == Metric::kL2;
        Tail tail{0.0f, by_distance ? kWorstBias : 0.0f};
        if (codec_.encode(row_.data(), codes_.centre_->data(), scratch_, code_.data())) {
            const RabitqFactors factors = codec_.factors(code_.data());
            const auto norm = static_cast<double>(factors.norm);
            if (norm <= kFurthest) {
                codec_.unpack(code_.data(), numbers_.data());
                pack_numbers(numbers_.data(), numbers_.size(), record);
                tail.unbiased = factors.unbiased;
                tail.bias = by_distance ? static_cast<float>(-0.5 * norm * norm) : 0.0f;
            }
        }
        std::memcpy(record + codes_.code_bytes_, &tail, sizeof tail);
    }

private:
    const WalkCodes& codes_;
    const RabitqCodec& codec_;
    RabitqCodec::Scratch scratch_;
    std::vector<float> row_;
    std::vector<std::uint8_t> code_;
    std::vector<std::uint8_t> numbers_;
};

void WalkCodes::append(const RowReader& rows, std::span<const Id> which, int threads) {
    Column grown = records_;  // nothing has changed if this is interrupted
    std::uint8_t* const out = grown.extend(which.size() * stride_);
    parallel_for(ceil_div(which.size(), kBlock), threads, [&](std::size_t block, int) {
        Encoder encoder(*this);
        const std::size_t last = std::min(which.size(), (block + 1) * kBlock);
        for (std::size_t i = block * kBlock; i < last; ++i) {
            if (i + kRowsAhead < last) rows.prefetch(which[i + kRowsAhead]);
            encoder.encode(rows, which[i], out + i * stride_);
        }
    });
    records_ = std::move(grown);
}

WalkCodes WalkCodes::taken(std::span<const Id> nodes, int threads) const {
    WalkCodes out(*this);
    out.records_ = Column();
    std::uint8_t* const to = out.records_.extend(nodes.size() * stride_);
    parallel_for(ceil_div(nodes.size(), kBlock), threads, [&](std::size_t block, int) {
        const std::size_t last = std::min(nodes.size(), (block + 1) * kBlock);
        for (std::size_t i = block * kBlock; i < last; ++i) {
            std::memcpy(to + i * stride_, records_.data() + std::size_t{nodes[i]} * stride_,
                        stride_);
        }
    });
    return out;
}

void WalkCodes::prepare(const float* query, double unit, WalkQuery& out) const {
    const float* const centre = metric_ == Metric::kL2 ? centre_->data() : nullptr;
    const double factor = place(query, unit, centre, out);
    out.terms = nullptr;
    set_highest(out.rotated.data(), factor != 1.0, out);
    codec_->rotation().apply(out.rotated.data());
    quantise(out);
}

void WalkCodes::prepare_folded(const float* query, const float* terms, WalkQuery& out) const {
    if (terms == nullptr) return prepare(query, unit_, out);
    const double factor = place(query, unit_, nullptr, out);
    const float* const q = out.rotated.data();
    out.terms = terms;
    out.base = static_cast<float>(std::inner_product(q, q + dim_, centre_->data(), 0.0));
    // A mapped row that lies where the query is.
    const double folded = norm_of(q, dim_);
    const double norm = tail_of(query, dim_).norm * unit_ * factor;
    if (metric_ == Metric::kL2) {
        out.highest = factor != 1.0 ? std::numeric_limits<double>::infinity() : 0.5 * norm * norm;
    } else {
        out.highest = norm;
    }
    out.noise =
        2.0 * kCodeError / std::sqrt(static_cast<double>(dim_)) * std::max(out.highest, folded);
    codec_->rotation().apply(out.rotated.data());
    quantise(out);
}

float WalkCodes::term(double norm, double mapped) const noexcept {
    if (metric_ == Metric::kCosine) {
        return mapped > 0.0 ? static_cast<float>(norm / mapped) : 0.0f;
    }
    const double length = mapped * unit_;
    return std::max(static_cast<float>(-0.5 * length * length), kWorstBias);
}

double WalkCodes::place(const float* query, double unit, const float* centre,
                        WalkQuery& out) const {
    const auto& table = kernels::active();
    out.rotated.resize(codec_->rotated_dim());
    float* const q = out.rotated.data();
    double largest = static_cast<double>(table.max_abs(query, dim_)) * unit;
    if (centre != nullptr) largest += static_cast<double>(table.max_abs(centre, dim_));
    const double factor = query_factor(largest);
    for (std::size_t k = 0; k < dim_; ++k) {
        const double moved = centre == nullptr ? 0.0 : static_cast<double>(centre[k]);
        q[k] = static_cast<float>((static_cast<double>(query[k]) * unit - moved) * factor);
    }
    return factor;
}

/// q: the query before it is rotated.
void WalkCodes::set_highest(const float* q, bool is_scaled, WalkQuery& out) const {
    const double norm = norm_of(q, dim_);
    if (metric_ == Metric::kL2) {
        // Biases are not scaled with the query.
        out.highest = is_scaled ? std::numeric_limits<double>::infinity() : 0.5 * norm * norm;
    } else {
        const float* const centre = centre_->data();
        out.highest = norm * length_ - std::inner_product(q, q + dim_, centre, 0.0);
    }
    out.noise = 2.0 * kCodeError / std::sqrt(static_cast<double>(dim_)) * out.highest;
}

/// Numbers of whole chunks stay where they are, of the rest the second half follows 64 after the first.
void WalkCodes::quantise(WalkQuery& out) const {
    const auto& table = kernels::active();
    const std::size_t n = out.rotated.size();
    out.step = out.offset = 0.0f;
    out.numbers.assign(2 * depth_, 0);
    const float most = table.max_abs(out.rotated.data(), n);
    if (!(most > 0x1p-100f)) return;  // at the centre, as far as scores can tell
    const std::size_t half = n % kChunk / 2;
    const std::size_t first = n - half;
    auto* const bytes = reinterpret_cast<std::uint8_t*>(out.numbers.data());
    std::memset(bytes, 128, 2 * depth_);  // what the kernel writes for zero
    table.quantize_u8(out.rotated.data(), first, 127.0f / most, bytes);
    table.quantize_u8(out.rotated.data() + first, half, 127.0f / most,
                      bytes + n / kChunk * kChunk + kChunk / 2);
    std::int32_t sum = 0;
    for (std::int8_t& number : out.numbers) {
        number = static_cast<std::int8_t>(static_cast<std::uint8_t>(number) - 128);
        sum += number;
    }
    out.step = most / 127.0f;
    out.offset = -static_cast<float>(codec_->middle()) * out.step * static_cast<float>(sum);
}

void WalkCodes::scores(const WalkQuery& query, const Id* nodes, std::size_t n,
                       float* out) const noexcept {
    const auto gather = kernels::active().gather_u4;
    const std::uint8_t* const records = records_.data();
    std::int32_t sums[kNodesAtOnce];
    for (std::size_t first = 0; first < n; first += kNodesAtOnce) {
        const std::size_t now = std::min(n - first, kNodesAtOnce);
        gather(records, stride_, nodes + first, now, query.numbers.data(), depth_, sums);
        for (std::size_t i = 0; i < now; ++i) {
            Tail tail;
            std::memcpy(&tail, records + std::size_t{nodes[first + i]} * stride_ + code_bytes_,
                        sizeof tail);
            const float dot = query.step * static_cast<float>(sums[i]) + query.offset;
            out[first + i] = tail.unbiased * dot + tail.bias;
        }
    }
    if (query.terms != nullptr) apply_terms(query, nodes, n, out);
}

void WalkCodes::apply_terms(const WalkQuery& query, const Id* nodes, std::size_t n,
                            float* scores) const noexcept {
    const float* const terms = query.terms;
    if (metric_ == Metric::kCosine) {
        for (std::size_t i = 0; i < n; ++i) {
            scores[i] = terms[nodes[i]] * (query.base + scores[i]);
        }
        return;
    }
    for (std::size_t i = 0; i < n; ++i) {
        Tail tail;
        std::memcpy(&tail, records_.data() + std::size_t{nodes[i]} * stride_ + code_bytes_,
                    sizeof tail);
        // Rows without a code are as far as can be.
        scores[i] = tail.bias > kWorstBias
                        ? terms[nodes[i]] + (query.base + (scores[i] - tail.bias))
                        : kWorstBias;
    }
}

}  // namespace nearfield

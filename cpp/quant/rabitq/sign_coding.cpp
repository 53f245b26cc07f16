#include "quant/rabitq/sign_coding.h"

#include <algorithm>
#include <cmath>

#include "kernels/resolve.h"

namespace nearfield {

SignCoding::SignCoding(const RabitqQuantizer& quantizer, Metric metric, const float* centroids,
                       std::size_t n)
    : codec_(quantizer.dim(), 1, quantizer.codec().rotation().seed()),
      metric_(metric == Metric::kL2 ? Metric::kL2 : Metric::kIp),
      squared_(centroids == nullptr ? 1 : n) {
    const std::size_t dim = codec_.dim();
    const float* mean = quantizer.centre();
    centres_.resize(squared_.size() * dim);
    for (std::size_t i = 0; i < squared_.size(); ++i) {
        float* c = centres_.data() + i * dim;
        for (std::size_t k = 0; k < dim; ++k) {
            c[k] = mean[k] + (centroids == nullptr ? 0.0f : centroids[i * dim + k]);
        }
        squared_[i] = kernels::active().ip_f32(c, c, dim);
        longest_ = std::max(longest_, std::sqrt(squared_[i]));
    }
}

double SignCoding::key(const float* query, std::size_t list) const noexcept {
    const auto& table = kernels::active();
    return metric_ == Metric::kL2 ? -table.l2_f32(query, centre(list), codec_.dim())
                                  : table.ip_f32(query, centre(list), codec_.dim());
}

SignCoding::Encoder::Encoder(const SignCoding& coding)
    : coding_(coding),
      scratch_(coding.codec()),
      code_(coding.codec().code_size()),
      bytes_(coding.codec().rotated_dim()) {}

void SignCoding::Encoder::encode(const float* x, std::size_t list, const SignBlock& block,
                                 std::size_t lane) {
    const RabitqCodec& codec = coding_.codec();
    if (!codec.encode(x, coding_.centre(list), scratch_, code_.data())) {
        block.put_unknown(lane);
        return;
    }
    if (list != list_) {
        rotated_.emplace(codec, coding_.centre(list), nullptr);
        list_ = list;
    }
    const RabitqFactors f = codec.factors(code_.data());
    codec.unpack(code_.data(), bytes_.data());
    const double shift = -static_cast<double>(f.unbiased) * rotated_->dot(bytes_.data());
    block.put(lane, code_.data() + RabitqCodec::kHeader, coding_.plane_size(), coding_.metric_, f,
              shift);
}

}  // namespace nearfield

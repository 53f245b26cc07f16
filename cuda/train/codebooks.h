// A product quantizer trained on rows on a device: k-means.h in every part of them, which lies where it is.
//
// Parts are clustered one after another, as the CPU does it, from the same sample and seeds: the same bits.
// Cost: that of k-means for all parts; a copy of the sample. Source: cpp/quant/pq/train.cpp.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"
#include "quant/pq/product_quantizer.h"

namespace nearfield::cuda {

/// Waits. Throws as ProductQuantizer::train(); then nothing has changed.
void train(const StreamRef& stream, ProductQuantizer& quantizer, const DeviceRows& rows,
           std::uint64_t seed);

}  // namespace nearfield::cuda

#include "quant/decoding.h"

#include <algorithm>
#include <stdexcept>

#include "quant/pq/opq.h"
#include "quant/pq/product_quantizer.h"
#include "quant/rabitq/rabitq.h"
#include "quant/sq/scalar_quantizer.h"

namespace nearfield {
namespace {

Decoding plain(const Quantizer& quantizer, Decoding::Way way) {
    Decoding d;
    d.way = way;
    d.dim = quantizer.dim();
    d.code_size = quantizer.code_size();
    return d;
}

void append(std::vector<float>& table, const float* values, std::size_t n) {
    table.insert(table.end(), values, values + n);
}

Decoding of_ranges(const ScalarQuantizer& quantizer) {
    const ScalarQuantizer::Ranges& ranges = quantizer.ranges();
    Decoding d = plain(quantizer, Decoding::Way::kScalar);
    d.bits = ranges.bits;
    append(d.table, ranges.base.data(), d.dim);
    append(d.table, ranges.step.data(), d.dim);
    return d;
}

Decoding of_books(const Quantizer& quantizer, const Codebooks& books) {
    Decoding d = plain(quantizer, Decoding::Way::kBooks);
    d.bits = books.shape().nbits;
    d.width = books.shape().sub_dim();
    d.table = books.values();
    return d;
}

Decoding of_grid(const RabitqQuantizer& quantizer) {
    const float* const centre = quantizer.centre();
    const kernels::RotationPlan plan = quantizer.codec().rotation().plan();
    Decoding d = plain(quantizer, Decoding::Way::kGrid);
    d.bits = static_cast<std::size_t>(quantizer.codec().bits());
    d.rotated_dim = plan.dim;
    d.window = plan.window;
    d.rounds = plan.rounds;
    append(d.table, plan.factors, plan.rounds * plan.dim);
    append(d.table, centre, d.dim);
    return d;
}

}  // namespace

Decoding decoding_of(const Quantizer& quantizer) {
    if (const auto* scalar = dynamic_cast<const ScalarQuantizer*>(&quantizer)) {
        return of_ranges(*scalar);
    }
    if (const auto* product = dynamic_cast<const ProductQuantizer*>(&quantizer)) {
        return of_books(quantizer, product->codebooks());
    }
    if (const auto* rotated = dynamic_cast<const OpqQuantizer*>(&quantizer)) {
        Decoding d = of_books(quantizer, rotated->trained().books);
        d.rotation = rotated->trained().rotation;
        return d;
    }
    if (const auto* grid = dynamic_cast<const RabitqQuantizer*>(&quantizer)) return of_grid(*grid);
    throw std::invalid_argument("decoding: got '" + quantizer.name() +
                                "' codes, expected sq, pq, opq or rabitq");
}

}  // namespace nearfield

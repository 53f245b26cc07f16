#include "row_coding.h"

#include <utility>

#include "arrays.h"
#include "quant/registry.h"

namespace nearfield::bindings {

std::shared_ptr<const RowCoding> coding_from(const py::object& quantizer, bool keeps_rows,
                                             bool residual) {
    if (quantizer.is_none()) return nullptr;
    const auto& given = quantizer.cast<const Quantizer&>();
    auto own = make_quantizer(given.name(), given.dim());
    if (given.is_trained()) own->restore(given.parameters());
    auto coding = std::make_shared<RowCoding>();
    coding->quantizer = std::move(own);
    coding->keeps_rows = keeps_rows;
    coding->residual = residual;
    return coding;
}

std::string quantizer_of(const RowStore& store) {
    return store.coding != nullptr ? store.coding->quantizer->name() : name_of(store.spec.dtype);
}

}  // namespace nearfield::bindings

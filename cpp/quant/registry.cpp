// make_quantizer: names to quantizers. A new one is its header and one line in kKinds.
#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "quant/pq/opq.h"
#include "quant/pq/product_quantizer.h"
#include "quant/quantizer.h"
#include "quant/rabitq/rabitq.h"
#include "quant/registry.h"
#include "quant/sq/scalar_quantizer.h"

namespace nearfield {
namespace {

using Numbers = std::array<std::size_t, 2>;

struct Kind {
    std::string_view prefix;
    std::string_view form;  // what follows the prefix; n stands for a number
    std::string_view shown;
    std::unique_ptr<Quantizer> (*make)(std::size_t dim, const Numbers& numbers);
};

template <std::size_t kBits>
std::unique_ptr<Quantizer> make_scalar(std::size_t dim, const Numbers&) {
    return std::make_unique<ScalarQuantizer>(dim, kBits);
}

template <class Q>
std::unique_ptr<Quantizer> make_product(std::size_t dim, const Numbers& numbers) {
    return std::make_unique<Q>(dim, numbers[0], numbers[1]);
}

std::unique_ptr<Quantizer> make_rabitq(std::size_t dim, const Numbers& numbers) {
    return std::make_unique<RabitqQuantizer>(dim, static_cast<int>(numbers[0]));
}

constexpr Kind kKinds[] = {
    {"sq8", "", "sq8", make_scalar<8>},
    {"sq4", "", "sq4", make_scalar<4>},
    {"pq", "nxn", "pq<m>x<bits>", make_product<ProductQuantizer>},
    {"opq", "nxn", "opq<m>x<bits>", make_product<OpqQuantizer>},
    {"rabitq", "n", "rabitq<bits>", make_rabitq},
};

constexpr std::size_t kMostDim = 65536;

/// Up to six digits without a leading zero.
bool take_number(std::string_view& text, std::size_t& number) {
    std::size_t digits = 0;
    number = 0;
    while (digits < text.size() && digits < 6 && text[digits] >= '0' && text[digits] <= '9') {
        number = number * 10 + static_cast<std::size_t>(text[digits++] - '0');
    }
    const bool valid = digits != 0 && text[0] != '0';
    text.remove_prefix(digits);
    return valid;
}

/// Reads a name by its form; false where it does not follow it to the end.
bool matches(const Kind& kind, std::string_view name, Numbers& numbers) {
    if (!name.starts_with(kind.prefix)) return false;
    name.remove_prefix(kind.prefix.size());
    std::size_t read = 0;
    for (const char expected : kind.form) {
        if (expected == 'n') {
            if (!take_number(name, numbers[read++])) return false;
        } else {
            if (name.empty() || name[0] != expected) return false;
            name.remove_prefix(1);
        }
    }
    return name.empty();
}

}  // namespace

std::vector<std::string> quantizer_forms() {
    std::vector<std::string> forms;
    for (const Kind& kind : kKinds) forms.emplace_back(kind.shown);
    return forms;
}

std::unique_ptr<Quantizer> make_quantizer(const std::string& name, std::size_t dim) {
    if (dim == 0 || dim > kMostDim) {
        throw std::invalid_argument("dim: got " + std::to_string(dim) + ", expected 1 to " +
                                    std::to_string(kMostDim));
    }
    std::string forms;
    for (const Kind& kind : kKinds) {
        Numbers numbers{};
        if (matches(kind, name, numbers)) return kind.make(dim, numbers);
        forms += (forms.empty() ? "" : ", ") + std::string(kind.shown);
    }
    throw std::invalid_argument("quantizer: got '" + name + "', expected one of " + forms);
}

}  // namespace nearfield

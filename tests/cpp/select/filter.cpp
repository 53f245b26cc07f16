#include "select/filter.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "check.h"

using nearfield::Id;
using nearfield::Random;
using nearfield::RowFilter;

namespace {

void check_equal(const RowFilter& filter, const std::vector<bool>& model) {
    CHECK_EQ(filter.size(), model.size());
    std::vector<Id> expected;
    for (std::size_t row = 0; row < model.size(); ++row) {
        CHECK_EQ(filter.test(row), static_cast<bool>(model[row]));
        if (model[row]) expected.push_back(static_cast<Id>(row));
    }
    CHECK_EQ(filter.count(), expected.size());
    CHECK(filter.ids() == expected);
}

}  // namespace

TEST(a_filter_is_a_row_of_flags) {
    Random random(51);
    for (const std::size_t rows : {0U, 1U, 63U, 64U, 65U, 128U, 1000U}) {
        RowFilter filter(rows);
        std::vector<bool> model(rows);
        check_equal(filter, model);
        for (int step = 0; rows != 0 && step < 300; ++step) {
            const std::size_t row = random.below(rows);
            const bool on = random.below(2) == 0;
            on ? filter.set(row) : filter.clear(row);
            model[row] = on;
        }
        check_equal(filter, model);
    }
}

TEST(growing_adds_clear_rows) {
    Random random(52);
    RowFilter filter;
    std::vector<bool> model;
    while (model.size() < 700) {
        const std::size_t rows = model.size() + 1 + random.below(90);
        filter.resize(rows);
        model.resize(rows);
        check_equal(filter, model);
        for (std::size_t row = 0; row < rows; row += 1 + random.below(5)) {
            filter.set(row);
            model[row] = true;
        }
        check_equal(filter, model);
    }
}

TEST(copies_are_apart) {
    RowFilter first(70);
    first.set(69);
    RowFilter second = first;
    second.clear(69);
    second.set(0);
    CHECK(first.ids() == std::vector<Id>({69}));
    CHECK(second.ids() == std::vector<Id>({0}));
}

TEST(bytes_that_are_not_zero_set_rows) {
    Random random(53);
    for (const std::size_t rows : {0U, 1U, 7U, 8U, 9U, 64U, 71U, 1000U}) {
        std::vector<std::uint8_t> bytes(rows);
        std::vector<bool> model(rows);
        for (std::size_t row = 0; row < rows; ++row) {
            // Every value: 1 as NumPy writes it, the top bit alone, all bits.
            const std::uint8_t some[] = {0, 1, 0x80, 0x7f, 0xff, 0x10};
            bytes[row] = some[random.below(6)];
            model[row] = bytes[row] != 0;
        }
        check_equal(RowFilter(bytes), model);
    }
}

TEST(ids_of_a_stretch_are_those_in_it) {
    Random random(54);
    RowFilter filter(1000);
    for (int i = 0; i < 300; ++i) filter.set(random.below(1000));
    const std::vector<Id> all = filter.ids();
    for (const std::size_t begin : {0U, 64U, 640U, 960U}) {
        for (std::size_t end = begin; end <= 1000; end += 1 + random.below(70)) {
            std::vector<Id> found(end - begin);
            found.resize(filter.write_ids(begin, end, found.data()));
            std::vector<Id> expected;
            for (const Id id : all) {
                if (id >= begin && id < end) expected.push_back(id);
            }
            CHECK(found == expected);
        }
    }
}

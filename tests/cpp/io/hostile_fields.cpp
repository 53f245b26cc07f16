// Damage with intent: extreme values in every field of header and table, and in pairs of fields,
// with the checksums made right again. The file is refused with CorruptFile or opens with sections
// that lie inside it; run under address and undefined-behaviour sanitizers.
#include <algorithm>
#include <set>

#include "base/types.h"
#include "check.h"
#include "sample.h"

using namespace nearfield;
using namespace nearfield::io;

namespace {

struct Field {
    std::size_t offset;
    std::size_t size;
};

std::vector<Field> all_fields(std::size_t sections) {
    std::vector<Field> fields = {{8, 4},  {12, 4}, {16, 8}, {24, 8}, {32, 8},
                                 {40, 4}, {44, 4}, {48, 4}, {52, 4}, {56, 4}};
    for (std::size_t i = 0; i < sections; ++i) {
        const std::size_t entry = sizeof(FileHeader) + i * sizeof(TableEntry);
        for (const Field field :
             {Field{0, 4}, {4, 4}, {8, 8}, {16, 8}, {24, 8}, {32, 8}, {40, 4}, {44, 4}}) {
            fields.push_back({entry + field.offset, field.size});
        }
    }
    return fields;
}

std::vector<std::uint64_t> extreme_values(std::uint64_t current) {
    std::set<std::uint64_t> values = {0,
                                      1,
                                      2,
                                      ~std::uint64_t{0},
                                      current + 1,
                                      current - 1,
                                      current * 2,
                                      current + 4096,
                                      current + 64,
                                      current - 64};
    for (const unsigned power : {8u, 12u, 31u, 32u, 61u, 62u, 63u}) {
        const std::uint64_t value = std::uint64_t{1} << power;
        values.insert({value - 1, value, value + 1, current + value});
    }
    return {values.begin(), values.end()};
}

std::uint64_t get(const Bytes& bytes, Field field) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + field.offset, field.size);
    return value;
}

void set(Bytes& bytes, Field field, std::uint64_t value) {
    std::memcpy(bytes.data() + field.offset, &value, field.size);
}

// Opens without checking contents, as the weakest reader does, and uses what opened.
bool opens(Bytes bytes) {
    reseal(bytes);
    try {
        const Archive archive = open_bytes(bytes, false);
        for (const Section& section : archive.sections()) {
            CHECK(section.offset <= bytes.size());
            CHECK(section.data.size() <= bytes.size() - section.offset);
            CHECK(section.rows * section.cols * size_of(section.element) == section.data.size());
        }
        touch(archive);
        is_refused(bytes, true);
        return true;
    } catch (const CorruptFile&) {
        return false;
    }
}

}  // namespace

TEST(single_fields) {
    const Bytes bytes = Sample(9, 5).bytes();
    std::set<std::size_t> harmless;  // fields that may change while the structure stays valid
    for (const Field field : all_fields(4)) {
        for (const std::uint64_t value : extreme_values(get(bytes, field))) {
            Bytes mutant = bytes;
            set(mutant, field, value);
            if (mutant != bytes && opens(mutant)) {
                harmless.insert(field.offset < 64 ? field.offset : 64 + (field.offset - 64) % 48);
            }
        }
    }
    // Version (a later one with an old minimum), ignorable features, the table checksum (made right
    // again), the release named in messages; type, element type of equal width, columns of a
    // section without rows, checksum of contents.
    const std::set<std::size_t> expected = {8, 24, 44, 48, 64, 68, 96, 104};
    CHECK(harmless == expected);
}

TEST(pairs_of_fields) {
    const Bytes bytes = Sample(3, 2).bytes();
    const std::vector<Field> fields = all_fields(2);
    std::size_t tried = 0;
    for (std::size_t a = 0; a < fields.size(); ++a) {
        for (std::size_t b = a + 1; b < fields.size(); ++b) {
            for (const std::uint64_t x : extreme_values(get(bytes, fields[a]))) {
                Bytes mutant = bytes;
                set(mutant, fields[a], x);
                for (const std::uint64_t y : extreme_values(get(bytes, fields[b]))) {
                    set(mutant, fields[b], y);
                    opens(mutant);
                    ++tried;
                }
            }
        }
    }
    CHECK(tried > 100000);
}

TEST(rows_times_columns_that_wrap) {
    // Products that are right modulo 2^64, or modulo 2^32, must not pass.
    const Bytes bytes = Sample(8, 4).bytes();
    const std::size_t rows_entry = sizeof(FileHeader) + sizeof(TableEntry);
    const Field rows{rows_entry + 24, 8};
    const Field cols{rows_entry + 32, 8};
    for (const unsigned power : {32u, 59u, 60u, 61u, 62u, 63u}) {
        Bytes mutant = bytes;
        set(mutant, rows, 8 + (std::uint64_t{1} << power));
        CHECK(!opens(mutant));
        mutant = bytes;
        set(mutant, cols, 4 + (std::uint64_t{1} << power));
        CHECK(!opens(mutant));
    }
}

TEST(sealed_padding_is_checked) {
    const Sample sample;
    Bytes bytes = sample.bytes();
    const std::size_t in_padding = 4000;  // between the metadata and the page of the rows
    bytes[in_padding] = 1;
    CHECK(!opens(bytes));
}

TEST(a_type_twice_is_refused) {
    Bytes bytes = Sample().bytes();
    set(bytes, {sizeof(FileHeader), 4}, static_cast<std::uint32_t>(SectionType::kRows));
    CHECK(!opens(bytes));
}

TEST(newer_files_are_refused_by_name) {
    const auto message = [](std::size_t offset, std::uint64_t value) {
        Bytes bytes = Sample().bytes();
        set(bytes, {8, 4}, 9);
        set(bytes, {48, 4}, 0x00020301);
        set(bytes, {offset, 4}, value);
        reseal(bytes);
        try {
            open_bytes(bytes, true);
        } catch (const CorruptFile& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    CHECK(message(12, 7).find("needs nearfield >= 2.3.1") != std::string::npos);
    CHECK(message(12, 7).find("format version 9") != std::string::npos);
    CHECK(message(16, 4).find("needs nearfield >= 2.3.1") != std::string::npos);
    CHECK(message(24, 4).empty());  // a feature that may be ignored
}

TEST(text_mode_transfer_is_named) {
    Bytes bytes = Sample().bytes();
    bytes.erase(bytes.begin() + 4);  // CR LF became LF
    try {
        open_bytes(bytes, true);
        CHECK(false);
    } catch (const CorruptFile& error) {
        CHECK(std::string(error.what()).find("text mode") != std::string::npos);
    }
}

TEST(element_and_section_types_that_do_not_exist) {
    // An element type of an empty section changes no size, so only its own check can refuse it.
    const Bytes bytes = Sample().bytes();
    for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t entry = sizeof(FileHeader) + i * sizeof(TableEntry);
        Bytes mutant = bytes;
        set(mutant, {entry + 4, 4}, 10);
        CHECK(!opens(mutant));
        mutant = bytes;
        set(mutant, {entry, 4}, 0);
        CHECK(!opens(mutant));
    }
}

TEST(a_consistent_layout_with_other_offsets_is_refused) {
    // Everything fits together, only not where the rule places it: right after the table.
    Bytes bytes(sizeof(FileHeader) + sizeof(TableEntry) + 5, 1);
    std::fill(bytes.begin(), bytes.end() - 5, static_cast<unsigned char>(0));
    FileHeader header{};
    header.magic = kMagic;
    header.format_version = header.min_reader_version = 1;
    header.file_length = bytes.size();
    header.section_count = 1;
    TableEntry entry{1, 0, bytes.size() - 5, 5, 5, 1, 0, 0};
    const auto store = [&] {
        std::memcpy(bytes.data(), &header, sizeof header);
        std::memcpy(bytes.data() + sizeof header, &entry, sizeof entry);
    };
    store();
    CHECK(!opens(bytes));
    // Too early, where it belongs, and one cache line too late behind a hole of zeros.
    for (const std::uint64_t offset : {126u, 128u, 192u}) {
        entry.offset = offset;
        header.file_length = offset + 5;
        bytes.assign(header.file_length, 0);
        store();
        CHECK_EQ(opens(bytes), offset == 128);
    }
}

TEST(one_section_more_than_allowed) {
    for (const std::uint32_t count : {kMaxSections, kMaxSections + 1}) {
        const std::size_t end = sizeof(FileHeader) + count * sizeof(TableEntry);
        Bytes bytes(round_up(end, kCacheLine));
        FileHeader header{};
        header.magic = kMagic;
        header.format_version = header.min_reader_version = 1;
        header.file_length = bytes.size();
        header.section_count = count;
        std::memcpy(bytes.data(), &header, sizeof header);
        for (std::uint32_t i = 0; i < count; ++i) {
            const TableEntry entry{i + 1, 0, bytes.size(), 0, 0, 0, 0, 0};
            std::memcpy(bytes.data() + sizeof header + i * sizeof entry, &entry, sizeof entry);
        }
        CHECK_EQ(opens(bytes), count == kMaxSections);
    }
}

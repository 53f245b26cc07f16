// Round trips, layout and what writer and reader refuse.
#include "io/archive.h"

#include <chrono>
#include <optional>
#include <stdexcept>

#include "check.h"
#include "sample.h"

using namespace nearfield;
using namespace nearfield::io;

namespace {

template <class T>
bool same(const Section& section, const std::vector<T>& expected) {
    const auto got = section.as<T>();
    return std::equal(got.begin(), got.end(), expected.begin(), expected.end());
}

void check_contents(const Archive& archive, const Sample& sample) {
    CHECK(archive.sections().size() == 4);
    CHECK(archive.format_version() == kFormatVersion);
    CHECK(same(archive.require(SectionType::kMeta, ElementType::kBytes, 1, 41), sample.meta));
    CHECK(same(archive.require(SectionType::kRows, ElementType::kF32, 70, 17), sample.rows));
    CHECK(same(archive.require(SectionType::kLabels, ElementType::kI64), sample.labels));
    CHECK(archive.require(SectionType::kTombstones, ElementType::kU8, 0, 1).data.empty());
    CHECK(archive.find(SectionType::kCodes) == nullptr);
}

}  // namespace

TEST(round_trip) {
    const ScratchDirectory scratch;
    const Sample sample;
    const std::string path = scratch / "a.nf";
    for (const bool durable : {false, true}) {
        sample.writer.save(path, durable);
        CHECK(read_file(path) == sample.bytes());
        CHECK(sample.writer.bytes() == sample.bytes().size());
        for (const bool mmap : {false, true}) {
            for (const bool verify : {false, true}) {
                const Archive archive = Archive::open(path, mmap, verify);
                check_contents(archive, sample);
                CHECK(archive.file_bytes() == sample.writer.bytes());
                archive.check_unchanged();
            }
        }
    }
    CHECK(scratch.entries() == 1);
}

TEST(layout) {
    const Archive archive = open_bytes(Sample().bytes(), true);
    const auto sections = archive.sections();
    CHECK(sections[0].offset == 256);          // 64 + 4 * 48
    CHECK(sections[1].offset == 4096);         // fills a page, so it begins one
    CHECK(sections[2].offset == 4096 + 4800);  // 4760 bytes, rounded up to 64
    CHECK(sections[3].offset == 4096 + 4800);
    CHECK(archive.file_bytes() == 4096 + 4800 + 560);
}

TEST(no_section_and_most_sections) {
    CHECK(Archive::from_buffer(ArchiveWriter().serialize(), "none", true).sections().empty());
    const std::uint32_t value = 5;
    ArchiveWriter writer;
    for (std::uint32_t type = 1; type <= kMaxSections; ++type) {
        writer.add(SectionType{1000 + type}, ElementType::kU32, 1, 1, &value);
    }
    CHECK_THROWS(std::invalid_argument,
                 writer.add(SectionType::kRows, ElementType::kU32, 1, 1, &value));
    const Archive archive = Archive::from_buffer(writer.serialize(), "many", true);
    CHECK(archive.sections().size() == kMaxSections);
    CHECK(name_of(archive.sections()[0].type) == "unknown");
}

TEST(buffers_outlive_the_archive) {
    const ScratchDirectory scratch;
    const Sample sample;
    const std::string path = scratch / "a.nf";
    sample.writer.save(path, false);
    for (const bool mmap : {false, true}) {
        std::optional<Archive> archive = Archive::open(path, mmap, true);
        const Buffer rows = archive->buffer(*archive->find(SectionType::kRows));
        archive.reset();
        Sample(10, 3, 2).writer.save(path, false);  // replaced by rename: the bytes stay
        CHECK(rows.size() == sample.rows.size() * sizeof(float));
        CHECK(std::memcmp(rows.data(), sample.rows.data(), rows.size()) == 0);
        sample.writer.save(path, false);
    }
}

TEST(change_in_place_is_seen) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "a.nf";
    Sample().writer.save(path, false);
    const Archive mapped = Archive::open(path, true, true);
    const Archive copied = Archive::open(path, false, true);
    std::filesystem::resize_file(path, mapped.file_bytes() + 1);
    CHECK_THROWS(CorruptFile, mapped.check_unchanged());
    copied.check_unchanged();
}

TEST(each_sign_of_a_change_in_place_suffices) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "a.nf";
    Sample().writer.save(path, false);
    const auto modified = std::filesystem::last_write_time(path);
    const Archive archive = Archive::open(path, true, true);
    std::filesystem::resize_file(path, archive.file_bytes() + 1);
    std::filesystem::last_write_time(path, modified);
    CHECK_THROWS(CorruptFile, archive.check_unchanged());
    std::filesystem::resize_file(path, archive.file_bytes());
    std::filesystem::last_write_time(path, modified);
    archive.check_unchanged();
    std::filesystem::last_write_time(path, modified + std::chrono::seconds(1));
    CHECK_THROWS(CorruptFile, archive.check_unchanged());
}

TEST(writer_refuses) {
    ArchiveWriter writer;
    const float x = 1;
    writer.add(SectionType::kRows, ElementType::kF32, 1, 1, &x);
    const auto refused = [&writer, &x](SectionType type, ElementType element, std::uint64_t rows,
                                       std::uint64_t cols, bool null) {
        CHECK_THROWS(std::invalid_argument,
                     writer.add(type, element, rows, cols, null ? nullptr : &x));
    };
    refused(SectionType::kRows, ElementType::kF32, 1, 1, false);
    refused(SectionType{0}, ElementType::kF32, 1, 1, false);
    refused(SectionType::kCodes, ElementType{10}, 1, 1, false);
    refused(SectionType::kCodes, ElementType::kF32, 1, 1, true);
    refused(SectionType::kCodes, ElementType::kU8, std::uint64_t{1} << 32, std::uint64_t{1} << 32,
            false);
    refused(SectionType::kCodes, ElementType::kF32, std::uint64_t{1} << 62, 1, false);
    refused(SectionType::kCodes, ElementType::kU8, std::uint64_t{1} << 63, 1, false);
    CHECK(Archive::from_buffer(writer.serialize(), "one", true).sections().size() == 1);
}

TEST(require_refuses) {
    const Bytes bytes = Sample().bytes();
    const Archive archive = open_bytes(bytes, true);
    CHECK_THROWS(CorruptFile, archive.require(SectionType::kCodes, ElementType::kU8));
    CHECK_THROWS(CorruptFile, archive.require(SectionType::kRows, ElementType::kF64));
    CHECK_THROWS(CorruptFile, archive.require(SectionType::kRows, ElementType::kF32, 17, 70));
}

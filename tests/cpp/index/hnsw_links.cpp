// Links: what is written is read, copies see what they should, and readers beside the writer meet nothing
// but links that were written.
#include "index/hnsw/links.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "check.h"

using nearfield::Buffer;
using nearfield::Column;
using nearfield::Id;
using nearfield::kNoNode;
using nearfield::Links;

namespace {

/// Of nodes below `count`.
std::vector<Id> links_of(const Links& links, std::size_t node,
                         std::size_t count = nearfield::kNoNode) {
    std::vector<Id> out(links.width());
    out.resize(links.read(node, count, out.data()));
    return out;
}

std::vector<Id> count_from(Id first, std::size_t n) {
    std::vector<Id> ids(n);
    std::iota(ids.begin(), ids.end(), first);
    return ids;
}

}  // namespace

TEST(new_nodes_have_no_links) {
    Links links(6);
    CHECK_EQ(links.count(), 0U);
    links.extend(0);
    CHECK_EQ(links.count(), 0U);
    links.extend(3);
    links.extend(40);
    CHECK_EQ(links.count(), 43U);
    CHECK_EQ(links.bytes(), 43U * 6 * sizeof(Id));
    for (std::size_t node = 0; node < 43; ++node) CHECK(links_of(links, node).empty());
}

TEST(links_are_read_as_written) {
    Links links(5);
    links.extend(4);
    for (const std::size_t n : {5U, 2U, 0U, 4U}) {
        links.write(2, count_from(7, n));
        CHECK(links_of(links, 2) == count_from(7, n));
        CHECK(links_of(links, 1).empty());
        CHECK(links_of(links, 3).empty());
    }
    // Unused places hold kNoNode, also where links were before.
    const Id* const record = links.records().as<Id>() + 2 * 5;
    CHECK_EQ(record[4], kNoNode);
}

TEST(links_to_nodes_of_later_snapshots_are_left_out) {
    Links links(4);
    links.extend(3);
    const Id mixed[] = {5, 1, 3, 2};
    links.write(0, mixed);
    CHECK(links_of(links, 0) == std::vector<Id>(mixed, mixed + 4));
    CHECK(links_of(links, 0, 4) == (std::vector<Id>{1, 3, 2}));
    CHECK(links_of(links, 0, links.count()) == (std::vector<Id>{1, 2}));
    CHECK(links_of(links, 0, 1).empty());
}

TEST(growth_keeps_links) {
    Links links(3);
    for (Id node = 0; node < 300; ++node) {
        links.extend(1);
        links.write(node, count_from(node, node % 4));
    }
    for (Id node = 0; node < 300; ++node) {
        CHECK(links_of(links, node) == count_from(node, node % 4));
    }
}

TEST(a_level_without_links_has_width_0) {
    Links links;
    links.extend(5);
    links.detach();
    CHECK_EQ(links.count(), 0U);
    CHECK_EQ(links.bytes(), 0U);
    CHECK_EQ(links.read(0, nullptr), 0U);
}

TEST(a_copy_sees_writes_but_no_new_nodes) {
    Links links(4);
    links.extend(2);
    const Links copy = links;
    links.write(1, count_from(5, 3));
    CHECK(links_of(copy, 1) == count_from(5, 3));
    links.extend(1000);
    CHECK_EQ(copy.count(), 2U);
    CHECK_EQ(links.count(), 1002U);
}

TEST(detached_links_change_alone) {
    Links links(4);
    links.extend(2);
    links.write(0, count_from(1, 4));
    const Links copy = links;
    links.detach();
    CHECK(links_of(links, 0) == count_from(1, 4));
    links.write(0, count_from(9, 1));
    links.extend(1);
    CHECK(links_of(copy, 0) == count_from(1, 4));
    CHECK(links_of(links, 0) == count_from(9, 1));
    CHECK(links_of(links, 2).empty());
}

TEST(records_of_a_file_are_read_in_place_and_detached_to_be_written) {
    const std::vector<Id> file = {1, 2, 0, kNoNode, kNoNode, kNoNode};
    const Links mapped(2, Column(Buffer::borrow(file.data(), file.size() * sizeof(Id), nullptr)));
    CHECK_EQ(mapped.count(), 3U);
    CHECK(mapped.records().as<Id>() == file.data());
    CHECK(links_of(mapped, 0) == count_from(1, 2));
    CHECK(links_of(mapped, 1) == count_from(0, 1));
    CHECK(links_of(mapped, 2).empty());
    Links own = mapped;
    own.detach();
    own.write(0, count_from(8, 1));
    CHECK_EQ(file[0], 1U);
    CHECK(links_of(own, 0) == count_from(8, 1));
}

TEST(readers_beside_the_writer_meet_written_links_only) {
    constexpr Id kWidth = 16;
    constexpr Id kNodes = 32;
    constexpr Id kVersions = kSanitized ? 300 : 3000;
    Links links(kWidth);
    links.extend(kNodes);
    links.extend(1);  // with room for some more in place
    const Links seen = links;
    std::atomic<bool> done = false;
    std::atomic<std::size_t> wrong = 0;
    const auto watch = [&] {
        Id out[kWidth];
        while (!done.load()) {
            for (std::size_t node = 0; node < kNodes; ++node) {
                const std::size_t n = seen.read(node, out);
                // Link i of node is (version * kWidth + i) * kNodes + node.
                for (std::size_t i = 0; i < n; ++i) {
                    if (out[i] % kNodes != node || out[i] / kNodes % kWidth != i) ++wrong;
                    if (out[i] / kNodes / kWidth >= kVersions) ++wrong;
                }
            }
        }
    };
    std::vector<std::thread> readers;
    for (int i = 0; i < 2; ++i) readers.emplace_back(watch);
    std::vector<Id> next;
    for (Id version = 0; version < kVersions; ++version) {
        for (Id node = 0; node < kNodes; ++node) {
            next.resize((version + node) % (kWidth + 1));
            for (Id i = 0; i < next.size(); ++i) next[i] = (version * kWidth + i) * kNodes + node;
            links.write(node, next);
        }
        if (version % 250 == 0) links.extend(1);
    }
    done = true;
    for (std::thread& reader : readers) reader.join();
    CHECK_EQ(wrong.load(), 0U);
    CHECK(seen.records().data() == links.records().data());
    CHECK(links_of(seen, kNodes - 1) == next);
}

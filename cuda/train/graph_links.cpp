#include "cuda/train/graph_links.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/interrupt.h"
#include "cuda/runtime/launch.h"
#include "cuda/train/nearest_rows.h"
#include "cuda/train/transfer.h"
#include "index/hnsw/back_links.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "choose_links.cu";
constexpr unsigned kThreads = 128;
constexpr std::size_t kCandidateBytes = 9;      // a key, and whether it is left out
constexpr std::size_t kSharedBytes = 32 << 10;  // of candidates; more of them lie in memory
constexpr std::size_t kHeldBytes = std::size_t{256} << 20;
constexpr std::size_t kSortedInShared = 512;                 // links of a node
constexpr std::size_t kLinksOfSlice = std::size_t{1} << 26;  // of nodes at a time

/// Rows in bytes as they are on the CPU.
class BytesThere {
public:
    BytesThere(const StreamRef& stream, const ByteRows& rows)
        : stride_(rows.view().stride),
          by_distance_(rows.by_distance()),
          codes_(uploaded(stream, rows.view().codes, rows.size() * stride_)),
          terms_(uploaded(stream, rows.view().terms, rows.size())) {
        static_assert(sizeof(ByteTerms) == 3 * sizeof(u32));
        stream.synchronize();
    }

    /// Launches a kernel that takes them first.
    template <class... Arguments>
    void launch_with(const StreamRef& stream, const char* kernel, const Grid& grid,
                     Arguments... arguments) const {
        launch(stream, {kSource, kernel}, grid, codes_.address(), u64{stride_}, terms_.address(),
               u32{by_distance_}, by_distance_ ? kLinkSlack : 1.0f, arguments...);
    }

private:
    std::size_t stride_;
    bool by_distance_;
    DeviceBuffer codes_, terms_;
};

/// The links of n nodes while they are made.
class LinksThere {
public:
    LinksThere(const StreamRef& stream, const LinkTask& task, std::size_t width)
        : stream_(stream),
          task_(task),
          rows_(stream, task.bytes),
          n_(task.bytes.size()),
          width_(width),
          chosen_(stream, n_ * width * sizeof(u64)) {}

    /// Of nodes first .. first + count - 1, from k ids each and their far rows.
    void choose(std::size_t first, std::size_t count, CUdeviceptr ids, std::size_t k) {
        const std::size_t room = k + collect_far(first, count);
        const DeviceBuffer begin = uploaded(stream_, far_begin_.data(), far_begin_.size());
        const DeviceBuffer far = uploaded(stream_, far_.data(), far_.size());
        const std::size_t bytes = round_up(kCandidateBytes * room, 8);
        const bool is_shared = bytes <= kSharedBytes;
        const std::size_t step =
            is_shared ? count : std::clamp<std::size_t>(kHeldBytes / bytes, 1, count);
        DeviceBuffer held;
        if (!is_shared) held = DeviceBuffer(stream_, step * bytes);
        for (std::size_t at = 0; at < count; at += step) {
            const auto blocks = static_cast<unsigned>(std::min(step, count - at));
            rows_.launch_with(stream_, "choose_links",
                              {{blocks, 1, 1}, {kThreads, 1, 1}, is_shared ? bytes : 0},
                              static_cast<u32>(first + at), ids + at * k * sizeof(std::int64_t),
                              static_cast<u32>(k), begin.address() + at * sizeof(u32),
                              far.address(), static_cast<u32>(room), held.address(),
                              static_cast<u32>(width_), chosen_.address());
        }
        stream_.synchronize();  // before what was uploaded changes
    }

    void lead_back(Links& out) const {
        const std::vector<u32> counts = counted();
        for (std::size_t first = 0; first < n_;) {
            checkpoint();
            std::vector<u32> begin{0};
            for (std::size_t node = first; node < n_; ++node) {
                const u64 end = u64{begin.back()} + counts[node];
                if (node > first && end > kLinksOfSlice) break;
                begin.push_back(static_cast<u32>(end));
            }
            write(first, begin, out);
            first += begin.size() - 1;
        }
    }

private:
    /// Returns the most of a node.
    std::size_t collect_far(std::size_t first, std::size_t count) {
        far_begin_.assign(1, 0);
        far_.clear();
        std::size_t most = 0;
        std::vector<Near> near;
        for (std::size_t i = 0; i < count; ++i) {
            near.clear();
            task_.far.append(static_cast<Id>(first + i), near);
            most = std::max(most, near.size());
            for (const Near& other : near) far_.push_back(other.node);
            far_begin_.push_back(static_cast<u32>(far_.size()));
        }
        return most;
    }

    Grid over_keys() const noexcept {
        return {{blocks_for(n_ * width_, kThreads), 1, 1}, {kThreads, 1, 1}, 0};
    }

    /// How many links lead from and to each node.
    std::vector<u32> counted() const {
        const DeviceBuffer counts(stream_, n_ * sizeof(u32));
        clear(stream_, counts.address(), n_ * sizeof(u32));
        launch(stream_, {kSource, "count_links"}, over_keys(), chosen_.address(), u64{n_ * width_},
               static_cast<u32>(width_), counts.address());
        return downloaded<u32>(stream_, counts.address(), n_);
    }

    /// The links of nodes from `first` on; begin: where those of each lie, and the end.
    void write(std::size_t first, const std::vector<u32>& begin, Links& out) const {
        const std::size_t count = begin.size() - 1;
        const DeviceBuffer begin_there = uploaded(stream_, begin.data(), begin.size());
        const DeviceBuffer placed(stream_, count * sizeof(u32));
        clear(stream_, placed.address(), count * sizeof(u32));
        const DeviceBuffer links(stream_, begin.back() * sizeof(u64));
        launch(stream_, {kSource, "place_links"}, over_keys(), chosen_.address(), u64{n_ * width_},
               static_cast<u32>(width_), static_cast<u32>(first), static_cast<u32>(count),
               begin_there.address(), placed.address(), links.address());
        const DeviceBuffer kept(stream_, count * width_ * sizeof(Id));
        const std::size_t considered = kConsidered * width_;
        rows_.launch_with(stream_, "link_back",
                          {{static_cast<unsigned>(count), 1, 1},
                           {kThreads, 1, 1},
                           kSortedInShared * sizeof(u64) + 2 * considered},
                          begin_there.address(), links.address(), static_cast<u32>(kSortedInShared),
                          static_cast<u32>(considered), static_cast<u32>(width_), kept.address());
        const auto ids = downloaded<Id>(stream_, kept.address(), count * width_);
        for (std::size_t i = 0; i < count; ++i) {
            const std::span<const Id> of = std::span(ids).subspan(i * width_, width_);
            const auto end = std::find(of.begin(), of.end(), kNoNode);
            out.write(first + i, of.first(static_cast<std::size_t>(end - of.begin())));
        }
    }

    StreamRef stream_;
    const LinkTask& task_;
    BytesThere rows_;
    std::size_t n_;
    std::size_t width_;
    DeviceBuffer chosen_;  // keys, width a node
    std::vector<u32> far_begin_, far_;
};

}  // namespace

LinkSource links_on(Device& device, std::size_t most_compared) {
    return [&device, most_compared](const LinkTask& task, Links& links) {
        const Stream stream(device);
        LinksThere there(stream.ref(), task, links.width());
        find_nearest(stream.ref(), task, most_compared,
                     [&](std::size_t first, std::size_t count, CUdeviceptr ids, std::size_t k) {
                         there.choose(first, count, ids, k);
                     });
        there.lead_back(links);
    };
}

}  // namespace nearfield::cuda

// Barriers with phases, copies of boxes and products of warpgroups; see shim.h.
//
// A copy overwrites its destination with noise when it is started and lands at a random later time; a product
// reads its tiles when its group is waited for, and its sums are noise until then. So what is read too
// early, or overwritten too early, is wrong for sure or for some seed.
// Source: own; PTX ISA, mbarrier, cp.async.bulk.tensor, wgmma and "Swizzling modes".

#include <algorithm>
#include <map>
#include <vector>

#include "box_map.h"
#include "scheduler.h"
#include "shim.h"

namespace nearfield::shim {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kWarpsOfGroup = 4;
constexpr std::size_t kAlign = 1024;
constexpr unsigned kMostBytes = (1u << 20) - 1;
constexpr std::size_t kMaxThreads = 1024;

struct Barrier {
    unsigned arrivals = 0;  // of a phase
    unsigned missing = 0;
    long long bytes = 0;  // announced and not there yet
    unsigned phase = 0;
    bool fenced = false;
};

struct Box {
    unsigned char* to;
    BoxMap map;
    int column, row;
    void* arrives;
};

struct Product {
    std::uint64_t first, second;
    bool adds;
    AddStep add;
    std::size_t group;
};

/// Of a thread.
struct Products {
    std::vector<Product> pending;
    void* sums = nullptr;
    std::vector<unsigned char> real;  // what the sums are
    std::size_t groups = 0;           // committed
    bool fenced = false;
    unsigned open = 0;  // of the wait that is under way
    unsigned warp = 0;
};

std::map<const void*, Barrier> barriers;
std::vector<Box> boxes;
std::vector<Products> products(kMaxThreads);
std::size_t used = 0;  // of them, at most

Products& products_of_thread() {
    const std::size_t thread = current_thread();
    used = std::max(used, thread + 1);
    return products[thread];
}

std::uintptr_t shared_base() {
    return reinterpret_cast<std::uintptr_t>(dynamic_shared()) / kAlign * kAlign;
}

Barrier& barrier_at(const void* at) {
    const auto found = barriers.find(at);
    if (found == barriers.end()) fail("a barrier that was not initialised");
    return found->second;
}

void end_phase_if_over(Barrier& barrier) {
    if (barrier.missing != 0 || barrier.bytes != 0) return;
    barrier.missing = barrier.arrivals;
    ++barrier.phase;
}

bool is_phase_over(const void* at, unsigned parity) { return barriers.at(at).phase % 2 != parity; }

void land(const Box& box) {
    const BoxMap& map = box.map;
    const std::uint64_t width = map.box_columns * map.element_bytes;
    for (std::uint64_t r = 0; r < map.box_rows; ++r) {
        for (std::uint64_t byte = 0; byte < width; ++byte) {
            const std::uint64_t place = r * width + byte;
            const auto row = static_cast<long long>(r) + box.row;
            const auto column = static_cast<long long>(byte / map.element_bytes) + box.column;
            const bool inside = row >= 0 && column >= 0 && row < static_cast<long long>(map.rows) &&
                                column < static_cast<long long>(map.columns);
            const auto* const from = reinterpret_cast<const unsigned char*>(map.address);
            const std::uint64_t at = static_cast<std::uint64_t>(row) * map.stride +
                                     static_cast<std::uint64_t>(column) * map.element_bytes +
                                     byte % map.element_bytes;
            box.to[place ^ (place >> 7 & 7) << 4] = inside ? from[at] : 0;
        }
    }
    Barrier& barrier = barriers.at(box.arrives);
    barrier.bytes -= static_cast<long long>(width * map.box_rows);
    end_phase_if_over(barrier);
}

/// The products that are due, oldest first, and the sums where none is left.
void finish_products(void* const* lanes) {
    const auto lane = [&](unsigned l) -> Products& { return *static_cast<Products*>(lanes[l]); };
    const Products& one = lane(0);
    std::size_t due = 0;
    while (due < one.pending.size() && one.pending[due].group + one.open < one.groups) ++due;
    void* sums[kWarp];
    for (unsigned l = 0; l < kWarp; ++l) {
        if (lane(l).pending.size() != one.pending.size()) fail("lanes with different products");
        sums[l] = lane(l).real.data();
    }
    for (std::size_t i = 0; i < due; ++i) {
        const Product& product = one.pending[i];
        for (unsigned l = 0; l < kWarp; ++l) {
            const Product& other = lane(l).pending[i];
            if (other.first != product.first || other.second != product.second) {
                fail("lanes that multiply different tiles");
            }
            if (!other.adds) std::memset(sums[l], 0, lane(l).real.size());
        }
        product.add(sums, one.warp, product.first, product.second);
    }
    for (unsigned l = 0; l < kWarp; ++l) {
        auto& pending = lane(l).pending;
        if (due == 0) continue;
        pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(due));
        if (!pending.empty()) continue;
        std::memcpy(lane(l).sums, lane(l).real.data(), lane(l).real.size());
        lane(l).fenced = false;
    }
}

}  // namespace

void reset_async() {
    barriers.clear();
    boxes.clear();
    for (; used > 0; --used) products[used - 1] = {};
}

bool progress() {
    if (boxes.empty()) return false;
    std::swap(boxes[noise_below(boxes.size())], boxes.back());
    const Box box = boxes.back();
    boxes.pop_back();
    land(box);
    return true;
}

unsigned shared_address(const void* at) {
    return static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(at) - shared_base());
}

void init_barrier(void* at, unsigned arrivals) {
    if (reinterpret_cast<std::uintptr_t>(at) % 8 != 0) fail("a barrier that is not aligned");
    if (arrivals == 0) fail("a barrier without arrivals");
    barriers[at] = {arrivals, arrivals, 0, 0, false};
}

void fence_barriers() {
    for (auto& [at, barrier] : barriers) barrier.fenced = true;
}

void arrive_at_barrier(void* at, unsigned bytes, const char*, int) {
    before_atomic();
    Barrier& barrier = barrier_at(at);
    if (barrier.missing == 0) fail("more arrivals than a barrier takes");
    if (bytes > kMostBytes) fail("more bytes than a barrier counts");
    barrier.bytes += bytes;
    --barrier.missing;
    end_phase_if_over(barrier);
}

void wait_at_barrier(void* at, unsigned parity, const char* file, int line) {
    barrier_at(at);
    if (parity > 1) fail("a parity that is neither 0 nor 1");
    before_atomic();
    if (!is_phase_over(at, parity)) wait_until(is_phase_over, at, parity, file, line);
}

void copy_box(void* to, const void* map, unsigned column, unsigned row, void* arrives) {
    Box box = {static_cast<unsigned char*>(to),
               {},
               static_cast<int>(column),
               static_cast<int>(row),
               arrives};
    std::memcpy(&box.map, map, sizeof box.map);
    if (box.map.mark != kBoxMapMark) fail("a map that nobody encoded");
    if (!barrier_at(arrives).fenced) fail("a barrier that copies do not see: it was not fenced");
    if (reinterpret_cast<std::uintptr_t>(to) % kAlign != 0) fail("a box that is not aligned");
    const std::size_t bytes = box.map.box_columns * box.map.box_rows * box.map.element_bytes;
    const auto start = static_cast<std::size_t>(box.to - dynamic_shared());
    if (start > dynamic_shared_size() || bytes > dynamic_shared_size() - start) {
        fail("a box beyond shared memory");
    }
    fill_with_noise(box.to, bytes);
    boxes.push_back(box);
}

const unsigned char* tile_bytes(unsigned long long descriptor, unsigned row) {
    static unsigned char bytes[32];
    const std::uint64_t start = (descriptor & 0x3fff) << 4, stride = (descriptor >> 32 & 0x3fff)
                                                                     << 4;
    const bool swizzled = descriptor >> 62 == 1;
    // Bits 14-15, 30-31, 46-48 and 52-61 have no meaning; the distance in bits 16-29 has none with swizzling.
    if ((descriptor & 0x3ff1c000c000c000u) != 0) fail("a tile's descriptor with bits no one knows");
    // Rows are swizzled by where they lie, so groups of eight rows begin at multiples of 1024 bytes; what begins
    // elsewhere has to say so in bits 49-51.
    if (swizzled &&
        (start % kAlign >= 128 || stride % kAlign != 0 || (descriptor >> 49 & 7) != 0)) {
        fail("a swizzled tile that does not begin at eight rows");
    }
    const auto* const base = reinterpret_cast<const unsigned char*>(shared_base());
    for (unsigned byte = 0; byte < sizeof bytes; byte += 16) {
        std::uint64_t at = start + row / 8 * stride + row % 8 * 128 + byte;
        if (swizzled) at ^= (at >> 7 & 7) << 4;
        if (base + at + 16 > dynamic_shared() + dynamic_shared_size()) {
            fail("a tile beyond shared memory");
        }
        std::memcpy(bytes + byte, base + at, 16);
    }
    return bytes;
}

void start_product(void* sums, std::size_t bytes, unsigned long long first,
                   unsigned long long second, bool adds, AddStep add) {
    Products& mine = products_of_thread();
    if (!mine.fenced) fail("a product whose sums were not fenced");
    if (mine.pending.empty()) {
        mine.sums = sums;
        const auto* const from = static_cast<const unsigned char*>(sums);
        mine.real.assign(from, from + bytes);
        fill_with_noise(static_cast<unsigned char*>(sums), bytes);
    }
    mine.pending.push_back({first, second, adds, add, mine.groups});
}

void fence_sums() { products_of_thread().fenced = true; }

void commit_products() { ++products_of_thread().groups; }

void wait_for_products(unsigned open, const char* file, int line) {
    Products& mine = products_of_thread();
    mine.open = open;
    mine.warp = static_cast<unsigned>(current_thread() / kWarp % kWarpsOfGroup);
    warp_run(&mine, finish_products, file, line);
}

}  // namespace nearfield::shim

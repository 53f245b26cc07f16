// Runs the blocks of a grid, one fiber a thread; see shim.h.

#include "shim.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "fiber.h"
#include "scheduler.h"

// The linker's names for where the section of __shared__ variables starts and stops.
extern "C" {
extern unsigned char __start_nearfield_shared[] __attribute__((weak, visibility("hidden")));
extern unsigned char __stop_nearfield_shared[] __attribute__((weak, visibility("hidden")));
}

namespace nearfield::shim {

Dim thread_index, block_index, block_dim, grid_dim;

namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr std::size_t kMaxShared = 227 << 10;

enum class State { kReady, kAtBarrier, kInWarp, kWaiting, kEnded };

struct Copy {
    void* to;
    const void* from;
    std::size_t bytes, valid;
    std::size_t group;
};

struct Fiber {
    Context context;
    Dim index;
    State state = State::kEnded;
    std::uint64_t priority = 0;
    const char* file = "";  // where it waits
    int line = 0;
    WarpOp op = WarpOp::kSync;
    unsigned mask = 0;
    unsigned from = 0;
    std::uint64_t value = 0;  // in, then out
    void (*work)(void* const* lanes) = nullptr;
    bool (*is_over)(const void* what, unsigned detail) = nullptr;  // what a waiting one waits for
    const void* what = nullptr;
    unsigned detail = 0;
    std::vector<Copy> copies;
    std::size_t groups = 0;  // of copies, committed
};

class Noise {
public:
    explicit Noise(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() noexcept {  // splitmix64
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    std::size_t below(std::size_t n) noexcept {  // n < 2^32
        return static_cast<std::size_t>((next() >> 32) * n >> 32);
    }
    void fill(unsigned char* first, std::size_t bytes) noexcept {
        for (; bytes >= sizeof(std::uint64_t); bytes -= sizeof(std::uint64_t)) {
            const std::uint64_t word = next();
            std::memcpy(first, &word, sizeof word);
            first += sizeof word;
        }
        for (; bytes > 0; --bytes) *first++ = static_cast<unsigned char>(next());
    }

private:
    std::uint64_t state_;
};

/// A thread that may go on; ordered by priority.
struct Ready {
    std::uint64_t priority;
    std::size_t thread;
    bool operator<(const Ready& other) const noexcept { return priority < other.priority; }
};

// What runs now. One launch at a time.
std::mutex mutex;
Context scheduler;
std::vector<std::unique_ptr<Fiber>> fibers;  // stacks are kept between launches
std::size_t threads = 0;                     // of the block
std::size_t ended = 0;
std::size_t waiting = 0;
constexpr std::size_t kNobody = ~std::size_t{0};
std::size_t current = kNobody;
unsigned in_warp[kMaxThreads / kWarp];  // lanes of a warp that wait in State::kInWarp
std::vector<Ready> ready;               // by_priority: a heap
std::unique_ptr<unsigned char[]> shared;
std::size_t shared_size = 0;
std::string failure;
Noise noise(0);
bool by_priority = false;
const Kernel* kernel = nullptr;
void** arguments = nullptr;

std::string where(const Fiber& fiber) {
    return std::string(fiber.file) + ":" + std::to_string(fiber.line);
}

bool is_same_place(const Fiber& one, const Fiber& other) {
    return one.line == other.line && std::strcmp(one.file, other.file) == 0;
}

std::string name_of(std::size_t thread) { return "thread " + std::to_string(thread); }

void leave(bool ends = false);

void enter(void) {
    entered();
    kernel->call(kernel->function, arguments);
    fibers[current]->state = State::kEnded;
    ++ended;
    leave(true);
}

void make_ready(std::size_t thread) {
    fibers[thread]->state = State::kReady;
    ready.push_back({fibers[thread]->priority, thread});
    if (by_priority) std::push_heap(ready.begin(), ready.end());
}

std::size_t pick() {
    if (by_priority) {
        std::pop_heap(ready.begin(), ready.end());
    } else {
        std::swap(ready[noise.below(ready.size())], ready.back());
    }
    const std::size_t thread = ready.back().thread;
    ready.pop_back();
    if (by_priority && noise.below(64) == 0) fibers[thread]->priority = noise.next();
    return thread;
}

#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize("address")))
#endif
void fill_static_shared() {
    unsigned char* const first = __start_nearfield_shared;
    if (first == nullptr) return;
    const std::size_t bytes = static_shared_size();
    // Not noise.fill: between these variables lies what AddressSanitizer watches.
    std::size_t at = 0;
    for (std::uint64_t word = 0; at + sizeof word <= bytes; at += sizeof word) {
        word = noise.next();
        std::memcpy(first + at, &word, sizeof word);
    }
    for (; at < bytes; ++at) first[at] = static_cast<unsigned char>(noise.next());
}

/// Nobody can go on: all at the same barrier go on together, anything else is an error.
void release_barrier() {
    const auto waits = [](std::size_t t) { return fibers[t]->state == State::kAtBarrier; };
    std::size_t first = 0;
    while (first < threads && fibers[first]->state == State::kEnded) ++first;
    const Fiber& one = *fibers[first];
    for (std::size_t t = 0; t < threads; ++t) {
        const Fiber& other = *fibers[t];
        if (waits(t) && waits(first) && is_same_place(other, one)) continue;
        std::string does = "has ended";
        if (other.state == State::kAtBarrier) does = "waits at the barrier " + where(other);
        if (other.state == State::kWaiting) does = "waits for ever at " + where(other);
        if (other.state == State::kInWarp) does = "waits for its warp at " + where(other);
        const char* what = waits(first) ? " waits at the barrier " : " waits at ";
        failure = name_of(first) + what + where(one) + " while " + name_of(t) + " " + does;
        return;
    }
    for (std::size_t t = 0; t < threads; ++t) make_ready(t);
}

/// Those whose wait is over go on; whether there is one.
bool wake() {
    bool any = false;
    for (std::size_t t = 0; waiting > 0 && t < threads; ++t) {
        const Fiber& fiber = *fibers[t];
        if (fiber.state != State::kWaiting || !fiber.is_over(fiber.what, fiber.detail)) continue;
        make_ready(t);
        --waiting;
        any = true;
    }
    return any;
}

/// What goes on beside the threads does, and who waited for it may go on.
bool wake_later() {
    if (wake()) return true;
    while (progress()) {
        if (wake()) return true;
    }
    return false;
}

void run_block() {
    ready.clear();
    ended = 0;
    waiting = 0;
    std::fill(std::begin(in_warp), std::end(in_warp), 0u);
    reset_async();
    for (std::size_t t = 0; t < threads; ++t) {
        Fiber& fiber = *fibers[t];
        const unsigned n = static_cast<unsigned>(t);
        fiber.index = {n % block_dim.x, n / block_dim.x % block_dim.y,
                       n / block_dim.x / block_dim.y};
        fiber.priority = noise.next();
        fiber.copies.clear();
        fiber.groups = 0;
        prepare(fiber.context, enter);
        make_ready(t);
    }
    leave();
}

/// Makes the next thread the current one; false where the block is over or failed.
bool choose_next() {
    while (failure.empty() && ended < threads) {
        if (ready.empty()) {
            if (!wake_later()) release_barrier();
            continue;
        }
        if (waiting > 0 && noise.below(16) == 0) {
            progress();
            wake();
        }
        current = pick();
        thread_index = fibers[current]->index;
        return true;
    }
    return false;
}

/// The current thread, or whoever starts a block, lets the next one run.
void leave(bool ends) {
    Context& from = current == kNobody ? scheduler : fibers[current]->context;
    if (!choose_next()) current = kNobody;
    Context& to = current == kNobody ? scheduler : fibers[current]->context;
    if (&from != &to) switch_context(from, to, ends);
}

void wait_as(State state, const char* file, int line) {
    Fiber& fiber = *fibers[current];
    fiber.state = state;
    fiber.file = file;
    fiber.line = line;
    leave();
}

/// All lanes of the mask are there: give each its result and let it go on.
void resolve_warp(std::size_t first_thread, unsigned mask) {
    std::uint64_t values[kWarp] = {};
    unsigned ballot = 0;
    for (unsigned l = 0; l < kWarp; ++l) {
        if ((mask >> l & 1u) == 0) continue;
        values[l] = fibers[first_thread + l]->value;
        ballot |= (values[l] != 0 ? 1u : 0u) << l;
    }
    if (fibers[current]->op == WarpOp::kRun) {
        void* lanes[kWarp];
        for (unsigned l = 0; l < kWarp; ++l) lanes[l] = reinterpret_cast<void*>(values[l]);
        fibers[current]->work(lanes);
    }
    in_warp[first_thread / kWarp] &= ~mask;
    for (unsigned l = 0; l < kWarp; ++l) {
        if ((mask >> l & 1u) == 0) continue;
        Fiber& fiber = *fibers[first_thread + l];
        fiber.value = fiber.op == WarpOp::kShuffle ? values[fiber.from] : ballot;
        make_ready(first_thread + l);
    }
}

void check_launch(const char* name, const unsigned grid[3], const unsigned block[3],
                  std::size_t shared_bytes) {
    const std::string of = std::string("launch of ") + name + ": ";
    if (kernels().count(name) == 0) {
        throw std::invalid_argument(of + "no kernel of that name is linked in");
    }
    for (int axis = 0; axis < 3; ++axis) {
        if (grid[axis] == 0 || block[axis] == 0) {
            throw std::invalid_argument(of + "a grid or block of size 0");
        }
    }
    if (grid[1] > 65535 || grid[2] > 65535) {
        throw std::invalid_argument(of + "a grid of more than 65535 along y or z");
    }
    const std::size_t size = std::size_t{block[0]} * block[1] * block[2];
    if (size > kMaxThreads) {
        throw std::invalid_argument(of + std::to_string(size) + " threads a block, 1024 at most");
    }
    if (shared_bytes > kMaxShared) {
        throw std::invalid_argument(of + std::to_string(shared_bytes) +
                                    " bytes of shared memory, 232448 at most");
    }
}

std::vector<std::size_t> shuffled(std::size_t n) {
    std::vector<std::size_t> order(n);
    for (std::size_t i = 0; i < n; ++i) {
        order[i] = i;
        std::swap(order[i], order[noise.below(i + 1)]);
    }
    return order;
}

}  // namespace

std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

unsigned char* dynamic_shared() noexcept { return shared.get(); }

std::size_t static_shared_size() noexcept {
    return static_cast<std::size_t>(__stop_nearfield_shared - __start_nearfield_shared);
}

std::size_t dynamic_shared_size() noexcept { return shared_size; }

std::size_t current_thread() noexcept { return current; }

std::size_t noise_below(std::size_t n) noexcept { return noise.below(n); }

void fill_with_noise(unsigned char* first, std::size_t bytes) { noise.fill(first, bytes); }

void wait_until(bool (*is_over)(const void* what, unsigned detail), const void* what,
                unsigned detail, const char* file, int line) {
    Fiber& fiber = *fibers[current];
    fiber.is_over = is_over;
    fiber.what = what;
    fiber.detail = detail;
    ++waiting;
    wait_as(State::kWaiting, file, line);
}

unsigned lane() noexcept { return static_cast<unsigned>(current % kWarp); }

void block_barrier(const char* file, int line) { wait_as(State::kAtBarrier, file, line); }

std::uint64_t warp_wait(WarpOp op, unsigned mask, std::uint64_t value, unsigned from,
                        const char* file, int line) {
    Fiber& fiber = *fibers[current];
    fiber.op = op;
    fiber.mask = mask;
    fiber.value = value;
    fiber.from = from;
    fiber.file = file;
    fiber.line = line;
    if ((mask >> lane() & 1u) == 0) fail("a lane is not in its own mask at " + where(fiber));
    if (op == WarpOp::kShuffle && (mask >> from & 1u) == 0) {
        fail("a shuffle from a lane outside the mask at " + where(fiber));
    }
    fiber.state = State::kInWarp;
    const std::size_t first = current / kWarp * kWarp;
    if (threads - first < kWarp && mask >> (threads - first) != 0) {
        fail("a mask with lanes that do not exist at " + where(fiber));
    }
    unsigned& there = in_warp[current / kWarp];
    there |= 1u << lane();
    bool complete = (there & mask) == mask;
    for (unsigned l = 0; l < kWarp && complete; ++l) {
        if ((mask >> l & 1u) == 0) continue;
        const Fiber& other = *fibers[first + l];
        complete = other.op == op && other.mask == mask;
    }
    if (complete) resolve_warp(first, mask);
    leave();
    return fiber.value;
}

void warp_run(void* mine, void (*work)(void* const* lanes), const char* file, int line) {
    fibers[current]->work = work;
    warp_wait(WarpOp::kRun, ~0u, reinterpret_cast<std::uint64_t>(mine), 0, file, line);
}

void copy_async(void* to, const void* from, std::size_t bytes, std::size_t valid) {
    Fiber& fiber = *fibers[current];
    const auto places =
        reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from);
    if (places % bytes != 0) fail("an asynchronous copy that is not aligned to its size");
    if (valid > bytes) fail("an asynchronous copy of more than its size");
    fill_with_noise(static_cast<unsigned char*>(to), bytes);
    fiber.copies.push_back({to, from, bytes, valid, fiber.groups});
}

void commit_copies() { ++fibers[current]->groups; }

void wait_for_copies(std::size_t open) {
    Fiber& fiber = *fibers[current];
    const auto lands = [&](const Copy& copy) { return copy.group + open < fiber.groups; };
    for (const Copy& copy : fiber.copies) {
        if (!lands(copy)) continue;
        std::memset(copy.to, 0, copy.bytes);
        std::memcpy(copy.to, copy.from, copy.valid);
    }
    const auto rest = std::remove_if(fiber.copies.begin(), fiber.copies.end(), lands);
    fiber.copies.erase(rest, fiber.copies.end());
}

void before_atomic() {
    if (noise.below(4) != 0) return;
    make_ready(current);
    leave();
}

void fail(const std::string& what) {
    failure = name_of(current) + ": " + what;
    for (;;) leave();
}

void launch(const char* name, const unsigned grid[3], const unsigned block[3],
            std::size_t shared_bytes, void** args, std::uint64_t seed) {
    check_launch(name, grid, block, shared_bytes);
    const std::lock_guard<std::mutex> only_one(mutex);
    noise = Noise(seed);
    by_priority = seed % 2 == 1;
    kernel = &kernels()[name];
    arguments = args;
    grid_dim = {grid[0], grid[1], grid[2]};
    block_dim = {block[0], block[1], block[2]};
    threads = std::size_t{block[0]} * block[1] * block[2];
    while (fibers.size() < threads) {
        fibers.push_back(std::make_unique<Fiber>());
        give_stack(fibers.back()->context);
    }
    shared.reset(new unsigned char[shared_bytes]);
    shared_size = shared_bytes;
    failure.clear();
    for (const std::size_t number : shuffled(std::size_t{grid[0]} * grid[1] * grid[2])) {
        const std::size_t row = number / grid[0];
        block_index = {static_cast<unsigned>(number % grid[0]),
                       static_cast<unsigned>(row % grid[1]), static_cast<unsigned>(row / grid[1])};
        fill_static_shared();
        fill_with_noise(shared.get(), shared_bytes);
        run_block();
        if (!failure.empty()) {
            throw std::runtime_error(std::string(name) + ", block " + std::to_string(number) +
                                     ": " + failure);
        }
    }
}

}  // namespace nearfield::shim

/// For callers in other languages: 0, or 1 with a message of at most `room` bytes.
extern "C" __attribute__((visibility("default"))) int nearfield_shim_launch(
    const char* name, const unsigned* grid, const unsigned* block, std::size_t shared_bytes,
    void** args, std::size_t count, std::uint64_t seed, char* message, std::size_t room) {
    try {
        const auto& all = nearfield::shim::kernels();
        const auto found = all.find(name);
        if (found != all.end() && found->second.sizes.size() != count) {
            throw std::invalid_argument(std::string(name) + " takes " +
                                        std::to_string(found->second.sizes.size()) + " arguments");
        }
        nearfield::shim::launch(name, grid, block, shared_bytes, args, seed);
        return 0;
    } catch (const std::exception& error) {
        std::strncpy(message, error.what(), room - 1);
        message[room - 1] = '\0';
        return 1;
    }
}

// What CUDA gives a kernel, when the kernel is compiled as plain C++ and run without a GPU.
//
// Force-included (-include shim.h) before a .cu file. Every thread of a block is a fiber; a fiber runs
// until it waits for others or touches an atomic, then a seeded schedule picks the next. What a missing
// barrier would let happen on a GPU therefore happens here, for some seed. Blocks run one after another,
// in a random order; shared memory starts each block as noise.
// `__shared__` variables may stand in kernels only, not in templates or inline functions.
// Errors, not undefined results: a barrier that some threads do not reach or reach elsewhere, a warp
// operation whose lanes differ from its mask, a shuffle from a lane outside it, an asynchronous copy that is
// not aligned, a launch no GPU takes; a barrier with phases that is never reached or was not fenced, a product
// of a warpgroup whose sums were not fenced.
// Cost: about 10 ns a switch. Source: own.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#define NEARFIELD_SHIM 1
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define __shared__ static __attribute__((section("nearfield_shared")))

namespace nearfield::shim {

struct Dim {
    unsigned x = 1, y = 1, z = 1;
};
extern Dim thread_index, block_index, block_dim, grid_dim;

struct Kernel {
    void (*function)();
    void (*call)(void (*function)(), void** args);
    std::vector<std::size_t> sizes;  // of its parameters
};

/// All kernels that are linked in, by name.
std::map<std::string, Kernel>& kernels();

/// Runs a kernel over a grid and returns when it is done; args as cuLaunchKernel takes them. Throws
/// std::invalid_argument for a launch that a device would refuse and std::runtime_error for a kernel
/// that waits for ever or breaks the rules above. Even seeds pick threads evenly, odd ones by random
/// priorities (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees", 2010).
void launch(const char* name, const unsigned grid[3], const unsigned block[3],
            std::size_t shared_bytes, void** args, std::uint64_t seed);

template <class... P, std::size_t... I>
void call_with(void (*kernel)(P...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<P*>(args[I])...);
}

template <class... P>
bool add_kernel(const char* name, void (*kernel)(P...)) {
    const auto call = [](void (*function)(), void** args) {
        call_with(reinterpret_cast<void (*)(P...)>(function), args,
                  std::index_sequence_for<P...>());
    };
    kernels()[name] = {reinterpret_cast<void (*)()>(kernel), call, {sizeof(P)...}};
    return true;
}

enum class WarpOp : unsigned { kSync, kShuffle, kBallot, kRun };

unsigned char* dynamic_shared() noexcept;
/// Of the __shared__ variables of all kernels together.
std::size_t static_shared_size() noexcept;
void block_barrier(const char* file, int line);
/// kShuffle: the value of lane `from`; kBallot: the lanes whose value is not zero.
std::uint64_t warp_wait(WarpOp op, unsigned mask, std::uint64_t value, unsigned from,
                        const char* file, int line);
/// Runs work once, when all 32 lanes are there, with what each of them gave: an instruction of a warp.
void warp_run(void* mine, void (*work)(void* const* lanes), const char* file = __builtin_FILE(),
              int line = __builtin_LINE());

/// An asynchronous copy of this thread: `to` is noise until the thread has waited for the copy's group.
/// What is beyond `valid` bytes becomes zero.
void copy_async(void* to, const void* from, std::size_t bytes, std::size_t valid);
void commit_copies();
/// Until at most `open` groups are under way.
void wait_for_copies(std::size_t open);

// What sm_90 does beside its threads, in async.cpp. Barriers lie in dynamic shared memory.

/// From a multiple of 1024 bytes at or below the start of dynamic shared memory.
unsigned shared_address(const void* at);
void init_barrier(void* at, unsigned arrivals);
void fence_barriers();
void arrive_at_barrier(void* at, unsigned bytes, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE());
void wait_at_barrier(void* at, unsigned parity, const char* file = __builtin_FILE(),
                     int line = __builtin_LINE());
/// `to` is noise until the copy has landed, which is some time before its bytes arrive.
void copy_box(void* to, const void* map, unsigned column, unsigned row, void* arrives);

/// 32 bytes of a row of a tile, which a matrix descriptor of wgmma names.
const unsigned char* tile_bytes(unsigned long long descriptor, unsigned row);
/// Adds a step to the sums of a warp's lanes; warp: its number in its warpgroup.
using AddStep = void (*)(void* const* sums, unsigned warp, unsigned long long first,
                         unsigned long long second);
/// A product of this thread's warp. Its tiles are read, and its sums are noise, until it has waited for
/// the product's group. adds: to what the sums were, else to zero.
void start_product(void* sums, std::size_t bytes, unsigned long long first,
                   unsigned long long second, bool adds, AddStep add);
void fence_sums();
void commit_products();
void wait_for_products(unsigned open, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE());

/// Lets other threads run first, sometimes.
void before_atomic();
/// Ends the launch with an error.
[[noreturn]] void fail(const std::string& what);
unsigned lane() noexcept;

template <class T>
T shuffle(unsigned mask, T value, unsigned from, const char* file, int line) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t), "shuffles move up to 8 bytes");
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = warp_wait(WarpOp::kShuffle, mask, bits, from, file, line);
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

}  // namespace nearfield::shim

#define threadIdx ::nearfield::shim::thread_index
#define blockIdx ::nearfield::shim::block_index
#define blockDim ::nearfield::shim::block_dim
#define gridDim ::nearfield::shim::grid_dim
#define NEARFIELD_DYNAMIC_SHARED(name) \
    unsigned char* const name = ::nearfield::shim::dynamic_shared()
#define NEARFIELD_KERNEL(name)                             \
    [[maybe_unused]] static const bool registered_##name = \
        ::nearfield::shim::add_kernel(#name, &name);

// Where a call stands, for messages.
#define NEARFIELD_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(NEARFIELD_HERE) { nearfield::shim::block_barrier(file, line); }

inline void __syncwarp(unsigned mask = ~0u, NEARFIELD_HERE) {
    nearfield::shim::warp_wait(nearfield::shim::WarpOp::kSync, mask, 0, 0, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, NEARFIELD_HERE) {
    return static_cast<unsigned>(nearfield::shim::warp_wait(nearfield::shim::WarpOp::kBallot, mask,
                                                            predicate != 0, 0, file, line));
}
inline int __any_sync(unsigned mask, int predicate, NEARFIELD_HERE) {
    return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, NEARFIELD_HERE) {
    return __ballot_sync(mask, predicate == 0, file, line) == 0;
}

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32, NEARFIELD_HERE) {
    const unsigned w = static_cast<unsigned>(width);
    const unsigned base = nearfield::shim::lane() / w * w;
    return nearfield::shim::shuffle(mask, value, base + static_cast<unsigned>(from) % w, file,
                                    line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32, NEARFIELD_HERE) {
    const unsigned own = nearfield::shim::lane(), other = own ^ static_cast<unsigned>(with);
    const bool inside = other / static_cast<unsigned>(width) <= own / static_cast<unsigned>(width);
    return nearfield::shim::shuffle(mask, value, inside ? other : own, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, NEARFIELD_HERE) {
    const unsigned own = nearfield::shim::lane();
    const bool inside = own % static_cast<unsigned>(width) >= by;
    return nearfield::shim::shuffle(mask, value, inside ? own - by : own, file, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, NEARFIELD_HERE) {
    const unsigned own = nearfield::shim::lane(), w = static_cast<unsigned>(width);
    const bool inside = own % w + by < w;
    return nearfield::shim::shuffle(mask, value, inside ? own + by : own, file, line);
}

#undef NEARFIELD_HERE

template <class T>
struct SameType {
    using type = T;
};

/// *at becomes what change makes of it, in one step; the value before.
template <class T, class Change>
T change_atomically(T* at, Change change) {
    nearfield::shim::before_atomic();
    const T before = *at;
    *at = change(before);
    return before;
}
template <class T>
T atomicAdd(T* at, typename SameType<T>::type value) {
    return change_atomically(at, [&](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicMax(T* at, typename SameType<T>::type value) {
    return change_atomically(at, [&](T old) { return old < value ? value : old; });
}
template <class T>
T atomicMin(T* at, typename SameType<T>::type value) {
    return change_atomically(at, [&](T old) { return value < old ? value : old; });
}
template <class T>
T atomicOr(T* at, typename SameType<T>::type value) {
    return change_atomically(at, [&](T old) { return static_cast<T>(old | value); });
}
template <class T>
T atomicExch(T* at, typename SameType<T>::type value) {
    return change_atomically(at, [&](T) { return value; });
}
template <class T>
T atomicCAS(T* at, typename SameType<T>::type expected, typename SameType<T>::type value) {
    return change_atomically(at, [&](T old) { return old == expected ? value : old; });
}

template <class T>
T min(T a, T b) {
    return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
    return a < b ? b : a;
}

inline void __threadfence() {}
inline void __threadfence_block() {}

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline double __longlong_as_double(long long bits) {
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
inline long long __double_as_longlong(double value) {
    long long bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline float __double2float_ru(double value) {
    const float near = static_cast<float>(value);
    return static_cast<double>(near) < value ? std::nextafterf(near, INFINITY) : near;
}
inline int __float2int_rn(float value) { return static_cast<int>(std::nearbyintf(value)); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
/// c + the four products of signed bytes.
inline int __dp4a(int a, int b, int c) {
    for (int shift = 0; shift < 32; shift += 8) {
        c += static_cast<std::int8_t>(a >> shift) * static_cast<std::int8_t>(b >> shift);
    }
    return c;
}

// Fibers: several stacks on one thread, one of them running.
//
// x86-64 has a switch of its own that saves what the calling convention asks a function to keep; other
// machines use ucontext. Under AddressSanitizer every switch is announced, so that it knows the stacks.
// Cost: about 5 ns a switch (ucontext: 400 ns). Source: own; System V ABI for what is saved.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace nearfield::shim {

inline constexpr std::size_t kStackBytes = std::size_t{1} << 17;

struct Context {
    unsigned char* stack = nullptr;  // lowest address; null: the thread's own
    std::size_t unused = 0;          // bytes at its other end
#if defined(__x86_64__)
    void* stack_pointer = nullptr;
#else
    ucontext_t state;
#endif
    void* shadow = nullptr;  // AddressSanitizer's
};

/// A stack of kStackBytes behind a page that must not be touched. It lives as long as the process.
void give_stack(Context& context);

/// Makes the next switch to `context` call entry on an empty stack. entry never returns.
void prepare(Context& context, void (*entry)());

/// Leaves `from` and goes on where `to` was left. `ends`: from is never resumed.
void switch_context(Context& from, Context& to, bool ends);

/// The first thing entry does.
void entered();

}  // namespace nearfield::shim

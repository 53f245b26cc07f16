#include "fiber.h"

#include <cstdint>
#include <cstring>
#include <new>

#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// nearfield_shim_switch(void** from, void* to): keeps the registers a callee must keep on the stack
// that is left, and takes them from the one that is entered.
extern "C" void nearfield_shim_switch(void** from, void* to);
__asm__(
    ".text\n"
    ".hidden nearfield_shim_switch\n"
    ".globl nearfield_shim_switch\n"
    ".type nearfield_shim_switch, @function\n"
    "nearfield_shim_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    ".size nearfield_shim_switch, .-nearfield_shim_switch\n");
#endif

namespace nearfield::shim {

void give_stack(Context& context) {
    static std::size_t given = 0;
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* memory = mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) throw std::bad_alloc();
    context.stack = static_cast<unsigned char*>(memory) + page;
    // Stacks that all begin at the same place of a page would share a few sets of the caches.
    constexpr std::size_t kLine = 64, kLines = 64;
    context.unused = given++ % kLines * kLine;
}

void prepare(Context& context, void (*entry)()) {
#if defined(__SANITIZE_ADDRESS__)
    // What a kernel that failed left behind.
    __asan_unpoison_memory_region(context.stack, kStackBytes);
    context.shadow = nullptr;
#endif
#if defined(__x86_64__)
    // As nearfield_shim_switch leaves a stack: six registers, the address to go to, and above it the
    // slot of a return address, which aligns the stack as a call would.
    constexpr std::size_t kRegisters = 6;
    void* frame[kRegisters + 2] = {};
    frame[kRegisters] = reinterpret_cast<void*>(entry);
    unsigned char* top = context.stack + kStackBytes - context.unused - sizeof frame;
    std::memcpy(top, frame, sizeof frame);
    context.stack_pointer = top;
#else
    getcontext(&context.state);
    context.state.uc_stack.ss_sp = context.stack;
    context.state.uc_stack.ss_size = kStackBytes - context.unused;
    context.state.uc_link = nullptr;
    makecontext(&context.state, entry, 0);
#endif
}

#if defined(__SANITIZE_ADDRESS__)
namespace {
const void* thread_stack = nullptr;  // of whoever launched
std::size_t thread_stack_bytes = 0;
}  // namespace
#endif

void entered() {
#if defined(__SANITIZE_ADDRESS__)
    const void* from = nullptr;
    std::size_t bytes = 0;
    __sanitizer_finish_switch_fiber(nullptr, &from, &bytes);
    if (thread_stack != nullptr) return;  // the first of a block is entered from there
    thread_stack = from;
    thread_stack_bytes = bytes;
#endif
}

void switch_context(Context& from, Context& to, [[maybe_unused]] bool ends) {
#if defined(__SANITIZE_ADDRESS__)
    if (from.stack == nullptr) thread_stack = nullptr;
    __sanitizer_start_switch_fiber(ends ? nullptr : &from.shadow,
                                   to.stack != nullptr ? to.stack : thread_stack,
                                   to.stack != nullptr ? kStackBytes : thread_stack_bytes);
#endif
#if defined(__x86_64__)
    nearfield_shim_switch(&from.stack_pointer, to.stack_pointer);
#else
    swapcontext(&from.state, &to.state);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from.shadow, nullptr, nullptr);
#endif
}

}  // namespace nearfield::shim

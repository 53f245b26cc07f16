#include "device_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "failures.h"

namespace standin {
namespace {

constexpr std::size_t kGuard = 256;
constexpr unsigned char kGuardByte = 0xfd;
constexpr unsigned char kPoison = 0xff;
constexpr std::size_t kMostKept = std::size_t{64} << 20;

Address start_of(const unsigned char* memory) {
    return static_cast<Address>(reinterpret_cast<std::uintptr_t>(memory + kGuard));
}

bool is_all(const unsigned char* bytes, std::size_t n, unsigned char value) {
    return std::all_of(bytes, bytes + n, [value](unsigned char byte) { return byte == value; });
}

}  // namespace

Address DeviceMemory::allocate(int device, std::size_t bytes) {
    if (bytes == 0 || bytes > free_bytes(device)) return 0;
    const std::size_t whole = (bytes + 2 * kGuard + kGuard - 1) / kGuard * kGuard;
    auto* memory = static_cast<unsigned char*>(std::aligned_alloc(kGuard, whole));
    if (memory == nullptr) return 0;
    std::memset(memory, kGuardByte, whole);
    std::memset(memory + kGuard, kPoison, bytes);
    blocks_.push_back({memory, bytes, device, true});
    return start_of(memory);
}

bool DeviceMemory::release(Address address) {
    for (Block& block : blocks_) {
        if (!block.live || start_of(block.memory) != address) continue;
        inspect(block);
        std::memset(block.memory + kGuard, kPoison, block.bytes);
        block.live = false;
        kept_ += block.bytes;
        forget_oldest();
        return true;
    }
    return false;
}

void DeviceMemory::forget_oldest() {
    for (auto block = blocks_.begin(); block != blocks_.end() && kept_ > kMostKept;) {
        if (block->live) {
            ++block;
            continue;
        }
        inspect(*block);
        kept_ -= block->bytes;
        std::free(block->memory);
        block = blocks_.erase(block);
    }
}

void DeviceMemory::inspect(const Block& block) {
    const std::string which = "a block of " + std::to_string(block.bytes) + " bytes";
    const unsigned char* payload = block.memory + kGuard;
    if (!is_all(block.memory, kGuard, kGuardByte)) {
        violations_.push_back("written before the start of " + which);
    }
    if (!is_all(payload + block.bytes, kGuard, kGuardByte)) {
        violations_.push_back("written past the end of " + which);
    }
    if (!block.live && !is_all(payload, block.bytes, kPoison)) {
        violations_.push_back("written to " + which + " after it was freed");
    }
}

const DeviceMemory::Block* DeviceMemory::live_block_around(Address address) const {
    for (const Block& block : blocks_) {
        const Address start = start_of(block.memory);
        if (block.live && start <= address && address < start + block.bytes) return &block;
    }
    return nullptr;
}

bool DeviceMemory::holds(Address address, std::size_t bytes) const {
    const Block* block = live_block_around(address);
    return block != nullptr && address + bytes <= start_of(block->memory) + block->bytes;
}

int DeviceMemory::device_of(Address address) const {
    const Block* block = live_block_around(address);
    return block != nullptr ? block->device : -1;
}

std::size_t DeviceMemory::free_bytes(int device) const {
    std::size_t used = 0;
    for (const Block& block : blocks_)
        used += block.live && block.device == device ? block.bytes : 0;
    const auto all = static_cast<std::size_t>(number("STANDIN_MEMORY", 1L << 30));
    return used < all ? all - used : 0;
}

std::size_t DeviceMemory::live_blocks() const {
    return static_cast<std::size_t>(
        std::count_if(blocks_.begin(), blocks_.end(), [](const Block& b) { return b.live; }));
}

std::vector<std::string> DeviceMemory::take_violations() {
    for (const Block& block : blocks_) inspect(block);
    return std::exchange(violations_, {});
}

}  // namespace standin

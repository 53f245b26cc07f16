// Memory of the stand-in devices: the heap, watched.
//
// Before and after every block lie guards that nothing may change. New memory and freed memory is all
// ones: NaN to whoever reads it as a float. Freed blocks are kept for a while, to see whether anything
// still writes to them. What was done wrong is collected as text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace standin {

using Address = unsigned long long;

class DeviceMemory {
public:
    /// 0 where the device has less than that.
    Address allocate(int device, std::size_t bytes);
    /// False for what is no live block's start.
    bool release(Address address);
    /// All of [address, address + bytes) lies in one live block.
    bool holds(Address address, std::size_t bytes) const;
    /// -1 where the address lies in no live block.
    int device_of(Address address) const;
    std::size_t free_bytes(int device) const;
    std::size_t live_blocks() const;
    /// Looks at all guards and freed blocks; what was found wrong since the last call.
    std::vector<std::string> take_violations();

private:
    struct Block {
        unsigned char* memory = nullptr;  // the front guard
        std::size_t bytes = 0;
        int device = 0;
        bool live = true;
    };
    void inspect(const Block& block);
    const Block* live_block_around(Address address) const;
    void forget_oldest();

    std::vector<Block> blocks_;  // live ones and freed ones, the oldest first
    std::size_t kept_ = 0;       // bytes of freed ones
    std::vector<std::string> violations_;
};

}  // namespace standin

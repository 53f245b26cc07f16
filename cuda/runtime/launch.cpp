#include "cuda/runtime/launch.h"

namespace nearfield::cuda::detail {
namespace {

// More has to be allowed beforehand: 48 KiB less what a kernel declares itself, which nobody here knows.
constexpr std::size_t kUnaskedSharedBytes = 16 * 1024;

}  // namespace

void launch(const StreamRef& stream, const Kernel& kernel, const Grid& grid, void** arguments) {
    const CUfunction function = stream.device->kernel(kernel.source, kernel.name);
    const OnDevice here(*stream.device);
    if (grid.shared_bytes > kUnaskedSharedBytes) {
        check(driver().cuFuncSetAttribute(function, kFunctionSharedBytes,
                                          static_cast<int>(grid.shared_bytes)),
              "give the kernel " + std::string(kernel.name) + " its shared memory");
    }
    check(driver().cuLaunchKernel(function, grid.blocks[0], grid.blocks[1], grid.blocks[2],
                                  grid.threads[0], grid.threads[1], grid.threads[2],
                                  static_cast<unsigned>(grid.shared_bytes), stream.handle,
                                  arguments, nullptr),
          std::string("launch the kernel ") + kernel.name + " on " + stream.device->label());
}

}  // namespace nearfield::cuda::detail

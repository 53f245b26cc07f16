#include "cuda/search/fallbacks.h"

#include <cstdint>

#include "cuda/runtime/launch.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

void count_fallbacks(const StreamRef& stream, CUdeviceptr lengths, std::size_t queries) {
    const CUdeviceptr counter = stream.device->fallback_counter();
    if (counter == 0 || lengths == 0 || queries == 0) return;
    constexpr unsigned kThreads = 128;
    launch(stream, {"exact.cu", "count_open"},
           {{blocks_of(queries, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, lengths,
           static_cast<std::uint32_t>(queries), counter);
}

}  // namespace nearfield::cuda

// The only door to CUDA for the rest of nearfield: devices, streams, memory and searches on them.
// Nothing happens before something is asked for: no library is opened when this one is loaded.
#pragma once

#include <string>
#include <vector>

#include "cuda/runtime/device.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/nvrtc.h"
#include "cuda/runtime/sources.h"
#include "cuda/runtime/stream.h"
#include "cuda/search/byte_rows.h"
#include "cuda/search/coded_list_search.h"
#include "cuda/search/coded_search.h"
#include "cuda/search/graph_search.h"
#include "cuda/search/list_search.h"
#include "cuda/search/plain_queries.h"
#include "cuda/search/ranked.h"
#include "cuda/search/row_map.h"
#include "cuda/search/topk.h"
#include "cuda/train/codebooks.h"
#include "cuda/train/codes.h"
#include "cuda/train/graph_links.h"
#include "cuda/train/kmeans.h"
#include "cuda/train/lists.h"

namespace nearfield::cuda {

/// What there is of CUDA on this machine. An error is what the first use of a missing part would throw.
struct Report {
    std::string driver;  // the library's path
    int driver_version = 0;
    std::string driver_error;
    std::string compiler;
    int compiler_version = 0;
    std::string compiler_error;
    std::string cache;  // folder of compiled kernels
    std::vector<const Device*> devices;
};

Report report();

}  // namespace nearfield::cuda

// The stand-in driver's state: devices, their memory, streams, modules. One lock, held for every call.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "cuda/runtime/driver_api.h"
#include "device_memory.h"
#include "streams.h"

namespace standin {

namespace api = nearfield::cuda;

inline constexpr int kMostDevices = 8;

struct Machine {
    std::recursive_mutex mutex;
    DeviceMemory memory;
    Streams streams{kMostDevices};
    std::map<const void*, StreamPtr> made_streams;  // by handle
    std::map<const void*, std::shared_ptr<Event>> events;
    std::map<const void*, int> modules;  // handle to device
    std::map<const void*, std::pair<int, std::string>> functions;
    std::map<const void*, std::size_t> allowed;  // dynamic shared memory of functions
    int failed = 0;  // what every later call returns, once a kernel has failed
    std::string failure;
    bool started = false;
    std::uint64_t launches = 0;  // that have run
};

Machine& machine();

/// The device of the context that is current on this thread, or -1.
int current_device();

api::CUcontext context_of(int device);

/// Shared memory that a block may have where it asks for it, by the devices' capability.
std::size_t most_shared();

/// Null where the handle is no live stream.
StreamPtr stream_of(api::CUstream handle);

}  // namespace standin

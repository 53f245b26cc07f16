#include "cuda/cuda.h"

namespace nearfield::cuda {

Report report() {
    Report r;
    r.cache = CubinCache::usual().folder();
    try {
        const Driver& d = driver();
        r.driver = d.path;
        r.driver_version = d.version;
        for (int i = 0; i < Device::count(); ++i) r.devices.push_back(&Device::at(i));
    } catch (const DeviceError& error) {
        r.driver_error = error.what();
        return r;
    }
    try {
        const Nvrtc& n = nvrtc(r.driver_version);
        r.compiler = n.path;
        r.compiler_version = n.version;
    } catch (const DeviceError& error) {
        r.compiler_error = error.what();
    }
    return r;
}

}  // namespace nearfield::cuda

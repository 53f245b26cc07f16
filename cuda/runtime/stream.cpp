#include "cuda/runtime/stream.h"

namespace nearfield::cuda {

void StreamRef::synchronize() const {
    const OnDevice here(*device);
    check(driver().cuStreamSynchronize(handle), "wait for a stream on " + device->label());
}

void StreamRef::wait_for(const StreamRef& other) const {
    if (device == other.device && handle == other.handle) return;
    Event point(*other.device);
    point.record(other);
    point.hold(*this);
}

void StreamRef::check_alive() const {
    // These are not objects, but names for a stream that every context has.
    if (handle == nullptr || handle == legacy_stream() || handle == per_thread_stream()) return;
    const OnDevice here(*device);
    CUcontext owner = nullptr;
    const CUresult result = driver().cuStreamGetCtx(handle, &owner);
    if (result == kCudaInvalidHandle || result == kCudaContextIsDestroyed) {
        throw DeviceError("stream: got one that does not exist (any more); pass a live stream of " +
                          device->label());
    }
    check(result, "use the stream");
    if (owner != device->context()) {
        throw DeviceError("stream: got one that does not belong to " + device->label() +
                          "; pass a stream of the device the arrays are on");
    }
}

Stream::Stream(Device& device) : ref_{&device, nullptr} {
    const OnDevice here(device);
    check(driver().cuStreamCreate(&ref_.handle, kStreamNonBlocking),
          "make a stream on " + device.label());
}

Stream::~Stream() {
    if (const Driver* d = open_driver()) d->cuStreamDestroy(ref_.handle);
}

Event::Event(Device& device, bool timed) : device_(device) {
    const OnDevice here(device);
    check(driver().cuEventCreate(&handle_, timed ? 0 : kEventDisableTiming),
          "make an event on " + device.label());
}

Event::~Event() {
    // An event that a stream still waits for is freed by the driver once it is passed.
    if (const Driver* d = open_driver()) d->cuEventDestroy(handle_);
}

void Event::record(const StreamRef& stream) {
    const OnDevice here(*stream.device);
    check(driver().cuEventRecord(handle_, stream.handle), "mark a point in a stream");
}

void Event::hold(const StreamRef& stream) const {
    const OnDevice here(*stream.device);
    check(driver().cuStreamWaitEvent(stream.handle, handle_, 0), "make a stream wait");
}

void Event::synchronize() const {
    const OnDevice here(device_);
    check(driver().cuEventSynchronize(handle_), "wait for a point in a stream");
}

bool Event::is_done() const {
    const Driver* d = open_driver();
    if (d == nullptr) return false;  // a child of the process it belongs to
    const OnDevice here(device_);
    return d->cuEventQuery(handle_) != kCudaNotReady;
}

float Event::milliseconds_since(const Event& start) const {
    const OnDevice here(device_);
    float milliseconds = 0;
    check(driver().cuEventElapsedTime(&milliseconds, start.handle_, handle_), "measure a time");
    return milliseconds;
}

}  // namespace nearfield::cuda

// Streams and events: the order of work on a device.
//
// A stream belongs to the caller as a rule (torch's, CuPy's): StreamRef says which one and where. Work
// enqueued on one stream runs in order; between streams, an Event orders it. Nothing here waits on the
// host but synchronize().
#pragma once

#include <utility>

#include "cuda/runtime/device.h"

namespace nearfield::cuda {

/// Somebody's stream on a device.
struct StreamRef {
    Device* device = nullptr;
    CUstream handle = nullptr;

    /// Returns when all work on the stream is done.
    void synchronize() const;
    /// Work enqueued from now on runs after what is now on `other`, which may be another device's.
    void wait_for(const StreamRef& other) const;
    /// DeviceError where the driver does not know the stream, or knows it on another device.
    void check_alive() const;
};

/// A stream of our own; one that does not wait for the legacy stream.
class Stream {
public:
    explicit Stream(Device& device);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    const StreamRef& ref() const noexcept { return ref_; }

private:
    StreamRef ref_;
};

/// A point in a stream.
class Event {
public:
    explicit Event(Device& device, bool timed = false);
    ~Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    void record(const StreamRef& stream);
    /// Work enqueued on `stream` from now on runs after this point.
    void hold(const StreamRef& stream) const;
    void synchronize() const;
    /// Whether all before it is done, without waiting; a device that failed does nothing any more.
    bool is_done() const;
    /// Of two timed events, both done.
    float milliseconds_since(const Event& start) const;

private:
    Device& device_;
    CUevent handle_ = nullptr;
};

}  // namespace nearfield::cuda

// Streams of the stand-in driver. They are as late as a GPU may be: work is only collected when it is
// enqueued, and runs when somebody waits for it. A missing wait is then always seen, not now and then;
// but that of a late stream for an early one only where the late one's device is early (STANDIN_EARLY).
//
// The legacy stream of a device is ordered against its other (blocking) streams, as CUDA has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace standin {

struct Work {
    std::uint64_t number = 0;  // in the order of enqueueing, over all streams
    std::function<void()> run;
};

struct Stream {
    int device = 0;
    bool is_legacy = false;
    bool waits_for_legacy = true;
    std::deque<Work> pending;
};

using StreamPtr = std::shared_ptr<Stream>;

struct Event {
    StreamPtr stream;  // null until it is recorded
    std::uint64_t number = 0;
    std::shared_ptr<double> seconds;  // when it was passed; negative until then
};

class Streams {
public:
    explicit Streams(int devices);
    StreamPtr legacy(int device) const { return all_[static_cast<std::size_t>(2 * device)]; }
    StreamPtr per_thread(int device) const {
        return all_[static_cast<std::size_t>(2 * device + 1)];
    }
    StreamPtr add(int device, bool waits_for_legacy);
    void remove(const StreamPtr& stream);

    std::uint64_t enqueue(const StreamPtr& stream, std::function<void()> run);
    void run(const StreamPtr& stream) { run_until(stream, last_); }
    void run_until(const StreamPtr& stream, std::uint64_t number);
    void run_all(int device);

    Event record(const StreamPtr& stream);
    void wait(const StreamPtr& stream, const Event& event);
    void reach(const Event& event);

private:
    void run_what_comes_first(const Stream& stream, std::uint64_t number);

    std::vector<StreamPtr> all_;
    std::uint64_t last_ = 0;
};

}  // namespace standin

#include "streams.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "failures.h"

namespace standin {

Streams::Streams(int devices) {
    for (int device = 0; device < devices; ++device) {
        all_.push_back(std::make_shared<Stream>(Stream{device, true, false, {}}));
        all_.push_back(std::make_shared<Stream>(Stream{device, false, true, {}}));
    }
}

StreamPtr Streams::add(int device, bool waits_for_legacy) {
    all_.push_back(std::make_shared<Stream>(Stream{device, false, waits_for_legacy, {}}));
    return all_.back();
}

void Streams::remove(const StreamPtr& stream) {
    run(stream);
    all_.erase(std::remove(all_.begin(), all_.end(), stream), all_.end());
}

std::uint64_t Streams::enqueue(const StreamPtr& stream, std::function<void()> run) {
    const std::uint64_t number = ++last_;
    stream->pending.push_back({number, std::move(run)});
    if (standin::number("STANDIN_EARLY", -1) == stream->device) this->run(stream);
    return number;
}

void Streams::run_what_comes_first(const Stream& stream, std::uint64_t number) {
    if (stream.waits_for_legacy) run_until(legacy(stream.device), number - 1);
    if (!stream.is_legacy) return;
    const auto others = all_;
    for (const StreamPtr& other : others) {
        if (other->device == stream.device && other->waits_for_legacy) {
            run_until(other, number - 1);
        }
    }
}

void Streams::run_until(const StreamPtr& stream, std::uint64_t number) {
    while (!stream->pending.empty() && stream->pending.front().number <= number) {
        const Work work = std::move(stream->pending.front());
        stream->pending.pop_front();
        run_what_comes_first(*stream, work.number);
        work.run();
    }
}

void Streams::run_all(int device) {
    const auto streams = all_;
    for (const StreamPtr& stream : streams) {
        if (stream->device == device) run(stream);
    }
}

Event Streams::record(const StreamPtr& stream) {
    Event event{stream, 0, std::make_shared<double>(-1.0)};
    event.number = enqueue(stream, [seconds = event.seconds] {
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        *seconds = std::chrono::duration<double>(now).count();
    });
    return event;
}

void Streams::wait(const StreamPtr& stream, const Event& event) {
    enqueue(stream, [this, event] { reach(event); });
}

void Streams::reach(const Event& event) {
    if (event.stream != nullptr) run_until(event.stream, event.number);
}

}  // namespace standin

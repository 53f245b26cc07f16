// Streams, events, buffers and launches, on a driver that runs work only when somebody waits for it.
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "standin.h"

using namespace nearfield::cuda;

namespace {

Device& device() {
    use_standin();
    return Device::at(0);
}

StreamRef legacy() { return {&device(), nullptr}; }

}  // namespace

TEST(devices_tell_what_they_are) {
    CHECK_EQ(device().label(), "cuda:0");
    CHECK_EQ(Device::count(), 2);
    CHECK_EQ(device().name(), "stand-in 0");
    CHECK_EQ(device().capability().major, 9);
    CHECK(device().free_bytes() <= device().memory_bytes());
    CHECK_EQ(&Device::at(0), &device());
}

TEST(copies_there_and_back) {
    const Stream stream(device());
    const std::vector<float> there = {1, 2, 3};
    std::vector<float> back(3);
    const DeviceBuffer buffer(stream.ref(), 12);
    copy_to_device(stream.ref(), buffer.address(), there.data(), 12);
    copy_to_host(stream.ref(), back.data(), buffer.address(), 12);
    CHECK(back != there);  // not yet: nothing has waited
    stream.ref().synchronize();
    CHECK(back == there);
    CHECK_EQ(device_of(buffer.address() + 11), 0);
}

TEST(a_stream_waits_for_another) {
    const Stream a(device());
    const Stream b(device());
    const int there = 7;
    int back = 0;
    const DeviceBuffer buffer(a.ref(), 4);
    copy_to_device(a.ref(), buffer.address(), &there, 4);
    copy_to_host(b.ref(), &back, buffer.address(), 4);
    b.ref().synchronize();
    CHECK(back != 7);  // the driver does not order them by itself
    copy_to_device(a.ref(), buffer.address(), &there, 4);
    b.ref().wait_for(a.ref());
    copy_to_host(b.ref(), &back, buffer.address(), 4);
    b.ref().synchronize();
    CHECK_EQ(back, 7);
}

TEST(buffers_come_and_go_in_the_order_of_the_stream) {
    const auto live = standin_function<int (*)()>("standin_live_blocks");
    const Stream stream(device());
    const int before = live();
    {
        DeviceBuffer first(stream.ref(), 1000);
        DeviceBuffer second = std::move(first);
        first = DeviceBuffer(stream.ref(), 10);
        CHECK_EQ(live(), before + 2);
    }
    stream.ref().synchronize();
    CHECK_EQ(live(), before);
    CHECK_EQ(violations(), "");
}

TEST(buffers_outlive_their_stream) {
    const auto live = standin_function<int (*)()>("standin_live_blocks");
    const int before = live();
    {
        DeviceBuffer buffer;
        const Stream stream(device());
        buffer = DeviceBuffer(stream.ref(), 1000);
    }
    legacy().synchronize();
    CHECK_EQ(live(), before);
}

TEST(a_caller_gives_and_takes_memory) {
    std::vector<std::size_t> asked;
    std::vector<CUdeviceptr> given_back;
    const Allocator pool{[&](std::size_t bytes, CUstream) {
                             asked.push_back(bytes);
                             return CUdeviceptr{4096};
                         },
                         [&](CUdeviceptr address, CUstream) { given_back.push_back(address); }};
    {
        const DeviceBuffer buffer(legacy(), 77, &pool);
    }
    CHECK(asked == std::vector<std::size_t>{77});
    CHECK(given_back == std::vector<CUdeviceptr>{4096});
}

TEST(a_kernel_runs) {
    const Stream stream(device());
    const std::vector<float> scores = {3, 1, 4, 1, 5, 9, 2, 6};
    constexpr unsigned kK = 3;
    std::vector<float> best(kK);
    std::vector<std::uint32_t> ids(kK);
    const DeviceBuffer in(stream.ref(), 32);
    const DeviceBuffer out_scores(stream.ref(), 12);
    const DeviceBuffer out_ids(stream.ref(), 12);
    copy_to_device(stream.ref(), in.address(), scores.data(), 32);
    launch(stream.ref(), {"select_k.cu", "select_k_radix_f32"}, {{1, 1, 1}, {32, 1, 1}, 8 * 3},
           in.address(), CUdeviceptr{0}, std::uint64_t{8}, CUdeviceptr{0}, std::uint32_t{8},
           std::uint32_t{0}, std::uint32_t{kK}, CUdeviceptr{0}, out_scores.address(),
           out_ids.address());
    copy_to_host(stream.ref(), best.data(), out_scores.address(), 12);
    copy_to_host(stream.ref(), ids.data(), out_ids.address(), 12);
    stream.ref().synchronize();
    CHECK(best == (std::vector<float>{9, 6, 5}));
    CHECK(ids == (std::vector<std::uint32_t>{5, 7, 4}));
    CHECK_EQ(violations(), "");
}

TEST(launches_the_device_refuses) {
    CHECK(says(device_error([] {
                   launch(legacy(), {"select_k.cu", "select_k_radix_f32"},
                          {{1, 1, 1}, {2048, 1, 1}, 0}, CUdeviceptr{0});
               }),
               "launch the kernel select_k_radix_f32 on cuda:0"));
    CHECK(says(device_error([] {
                   launch(legacy(), {"select_k.cu", "select_k_radix_f32"},
                          {{1, 1, 1}, {32, 1, 1}, 1 << 20}, CUdeviceptr{0});
               }),
               "its shared memory"));
}

TEST(writes_past_the_end_are_seen) {
    const Stream stream(device());
    {
        // The kernel writes three results where there is room for two.
        const DeviceBuffer in(stream.ref(), 32);
        const DeviceBuffer out(stream.ref(), 8);
        const DeviceBuffer ids(stream.ref(), 12);
        const std::vector<float> scores(8, 1.0F);
        copy_to_device(stream.ref(), in.address(), scores.data(), 32);
        launch(stream.ref(), {"select_k.cu", "select_k_radix_f32"}, {{1, 1, 1}, {32, 1, 1}, 8 * 3},
               in.address(), CUdeviceptr{0}, std::uint64_t{8}, CUdeviceptr{0}, std::uint32_t{8},
               std::uint32_t{0}, std::uint32_t{3}, CUdeviceptr{0}, out.address(), ids.address());
        stream.ref().synchronize();
    }
    stream.ref().synchronize();
    CHECK(says(violations(), "past the end of a block of 8 bytes"));
}

TEST(events_measure) {
    const Stream stream(device());
    Event start(device(), true);
    Event end(device(), true);
    start.record(stream.ref());
    end.record(stream.ref());
    CHECK(says(device_error([&] { end.milliseconds_since(start); }), "measure a time"));
    end.synchronize();
    CHECK(end.milliseconds_since(start) >= 0.0F);
}

TEST(threads_need_not_know_of_each_other) {
    std::vector<std::thread> threads;
    std::atomic<int> right = 0;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([t, &right] {
            Device& mine = (use_standin(), Device::at(t % 2));
            for (int i = 0; i < 50; ++i) {
                const Stream stream(mine);
                const DeviceBuffer buffer(stream.ref(), 4);
                const int there = 100 * t + i;
                int back = -1;
                copy_to_device(stream.ref(), buffer.address(), &there, 4);
                copy_to_host(stream.ref(), &back, buffer.address(), 4);
                stream.ref().synchronize();
                right += back == there && device_of(buffer.address()) == mine.ordinal() ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_EQ(right.load(), 200);
}

TEST(a_kernel_that_fails_is_told_by_who_waits) {
    // Last, since nothing works after it. In a block of 16 threads the warp is not full, and its operations
    // name lanes that are not there.
    const Stream stream(device());
    const DeviceBuffer some(stream.ref(), 1024);
    launch(stream.ref(), {"select_k.cu", "select_k_radix_f32"}, {{1, 1, 1}, {16, 1, 1}, 8 * 3},
           some.address(), CUdeviceptr{0}, std::uint64_t{8}, CUdeviceptr{0}, std::uint32_t{8},
           std::uint32_t{0}, std::uint32_t{3}, CUdeviceptr{0}, some.address(), some.address());
    const std::string error = device_error([&] { stream.ref().synchronize(); });
    CHECK(says(error, "restart it"));
    CHECK(says(error, "select_k_radix_f32"));
}

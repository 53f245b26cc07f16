// Every way in which a driver or a compiler may be missing, old or unwilling has its own message.
#include "cuda/runtime/device.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "standin.h"

using namespace nearfield::cuda;

namespace {

/// In a process of its own, with these variables, starting `body` must say `part`.
bool refuses(std::initializer_list<std::pair<const char*, const char*>> variables,
             const std::function<void()>& body, const std::string& part) {
    return in_child([&] {
        use_standin();
        for (const auto& [name, value] : variables) setenv(name, value, 1);
        return says(device_error(body), part);
    });
}

void start() { Device::at(0).context(); }
void load() { Device::at(0).kernel("select_k.cu", "select_k_radix_f32"); }

}  // namespace

TEST(no_driver) {
    CHECK(refuses({{"NEARFIELD_LIBCUDA", "/nowhere/libcuda.so"}}, start, "/nowhere/libcuda.so"));
    CHECK(refuses({{"NEARFIELD_LIBCUDA", "libc.so.6"}}, start, "does not tell its version"));
    if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD) == nullptr &&
        dlopen("libcuda.so.1", RTLD_NOW) == nullptr) {
        CHECK(refuses({{"NEARFIELD_LIBCUDA", ""}}, start, "no CUDA driver: libcuda.so.1"));
    }
}

TEST(old_driver) {
    CHECK(refuses({{"STANDIN_VERSION", "11040"}}, start, "old CUDA driver"));
    CHECK(refuses({{"STANDIN_VERSION", "11040"}}, start, "11.4, expected 12.0"));
    CHECK(refuses({{"STANDIN_LACKS", "cuMemAllocAsync"}}, start, "no cuMemAllocAsync"));
}

TEST(no_device) {
    CHECK(refuses({{"STANDIN_DEVICES", "0"}}, start, "no CUDA device"));
    CHECK(refuses({{"STANDIN_FAILS", "cuInit=803"}}, start, "does not start"));
    CHECK(refuses({{"STANDIN_DEVICES", "1"}}, [] { Device::at(3); }, "no device cuda:3"));
    CHECK(refuses({}, [] { Device::at(-1); }, "no device cuda:-1"));
    CHECK(refuses({{"STANDIN_FAILS", "cuDevicePrimaryCtxRetain=2"}}, start, "start cuda:0"));
}

TEST(a_driver_that_did_not_start_may_start_later) {
    CHECK(in_child([] {
        use_standin();
        setenv("STANDIN_DEVICES", "0", 1);
        if (!says(device_error(start), "no CUDA device")) return false;
        unsetenv("STANDIN_DEVICES");
        return device_error(start).empty();
    }));
}

TEST(no_compiler) {
    CHECK(refuses({{"NEARFIELD_NVRTC", "/nowhere/libnvrtc.so"}}, load, "/nowhere/libnvrtc.so"));
    CHECK(refuses({{"NEARFIELD_NVRTC", "libc.so.6"}}, load, "which is no NVRTC"));
    if (dlopen("libnvrtc.so.13", RTLD_NOW) == nullptr &&
        dlopen("libnvrtc.so.12", RTLD_NOW) == nullptr) {
        CHECK(refuses({{"NEARFIELD_NVRTC", ""}, {"CUDA_HOME", "/nowhere"}}, load,
                      "pip install nvidia-cuda-nvrtc-cu12"));
    }
}

TEST(unknown_architecture) {
    CHECK(refuses({{"STANDIN_CAPABILITY", "7.5"}}, load, "expected 8.0 or newer"));
    CHECK(refuses({{"STANDIN_CAPABILITY", "13.0"}}, load, "install a newer NVRTC"));
}

TEST(kernels_that_do_not_compile_show_the_log) {
    CHECK(refuses({{"STANDIN_COMPILE_ERROR", "identifier is undefined"}}, load,
                  "error: identifier is undefined"));
    CHECK(refuses({{"STANDIN_FAILS", "cuModuleLoadData=222"}}, load,
                  "NVRTC is newer than the driver"));
    CHECK(refuses({}, [] { Device::at(0).kernel("none.cu", "f"); }, "none.cu"));
    CHECK(refuses({}, [] { Device::at(0).kernel("select_k.cu", "f"); }, "find the kernel f"));
}

TEST(out_of_memory) {
    CHECK(refuses(
        {{"STANDIN_MEMORY", "1000000"}}, [] { DeviceBuffer({&Device::at(0), nullptr}, 2000000); },
        "2000000 bytes on cuda:0 (1000000 of 1000000 are free)"));
    CHECK(refuses(
        {{"STANDIN_FAILS", "cuMemAllocAsync=2"}},
        [] { DeviceBuffer({&Device::at(0), nullptr}, 1); }, "use a smaller type"));
}

TEST(streams_that_are_not) {
    CHECK(refuses(
        {},
        [] {
            static int nothing;
            StreamRef{&Device::at(0), reinterpret_cast<CUstream>(&nothing)}.check_alive();
        },
        "does not exist"));
    CHECK(refuses(
        {},
        [] {
            const Stream other(Device::at(1));
            StreamRef{&Device::at(0), other.ref().handle}.check_alive();
        },
        "does not belong to cuda:0"));
    CHECK(refuses(
        {},
        [] {
            CUstream gone;
            {
                const Stream stream(Device::at(0));
                gone = stream.ref().handle;
            }
            StreamRef{&Device::at(0), gone}.check_alive();
        },
        "does not exist"));
}

TEST(memory_that_is_not) {
    CHECK(refuses(
        {},
        [] {
            start();
            device_of(12345);
        },
        "not known to the CUDA driver"));
}

TEST(a_forked_child_is_told_and_harms_nothing) {
    CHECK(in_child([] {
        use_standin();
        DeviceBuffer buffer({&Device::at(0), nullptr}, 100);
        const bool told = in_child([&] {
            DeviceBuffer mine = std::move(buffer);  // ends here, and must not call the driver
            return says(device_error(start), "forked after CUDA had started");
        });
        return told && violations().empty();
    }));
    // A fork before the first use is none.
    CHECK(in_child([] {
        use_standin();
        return in_child([] { return device_error(start).empty(); });
    }));
}

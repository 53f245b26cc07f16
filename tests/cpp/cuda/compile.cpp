// Kernels are compiled once a machine, for the machine they run on.
#include "cuda/runtime/compile.h"

#include <filesystem>
#include <fstream>

#include "cuda/runtime/driver.h"
#include "standin.h"

using namespace nearfield::cuda;
namespace fs = std::filesystem;

namespace {

const Nvrtc& compiler() {
    use_standin();
    return nvrtc(12080);
}

long compilations() {
    return standin_function<long (*)(const char*)>("standin_calls")("nvrtcCompileProgram");
}

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/nearfield-compile-XXXXXX";
        path = mkdtemp(name);
    }
    ~Folder() { fs::remove_all(path); }
};

const Source kSources[] = {{"a.cu", "#include \"b.cuh\"\n"}, {"b.cuh", "// b\n"}};

}  // namespace

TEST(architectures) {
    CHECK_EQ(architecture_of({9, 0}, compiler()), "sm_90a");
    CHECK_EQ(architecture_of({8, 0}, compiler()), "sm_80");
    CHECK_EQ(architecture_of({8, 6}, compiler()), "sm_86");
    CHECK_EQ(architecture_of({12, 0}, compiler()), "sm_120");
    CHECK_THROWS(nearfield::DeviceError, architecture_of({7, 5}, compiler()));
    CHECK_THROWS(nearfield::DeviceError, architecture_of({8, 8}, compiler()));
}

TEST(the_second_time_comes_from_disk) {
    const Folder folder;
    const CubinCache cache(folder.path);
    const long before = (compiler(), compilations());
    const std::string first = compile("a.cu", kSources, "sm_90a", compiler(), cache);
    CHECK_EQ(compile("a.cu", kSources, "sm_90a", compiler(), cache), first);
    CHECK_EQ(compilations(), before + 1);
}

TEST(whatever_changes_compiles_anew) {
    const Folder folder;
    const CubinCache cache(folder.path);
    const long before = (compiler(), compilations());
    compile("a.cu", kSources, "sm_90a", compiler(), cache);
    compile("a.cu", kSources, "sm_80", compiler(), cache);
    const Source header[] = {kSources[0], {"b.cuh", "// c\n"}};
    compile("a.cu", header, "sm_90a", compiler(), cache);
    const Source moved[] = {{"a.cu", "#include \"b.cuh\"\n// "}, {"b.cuh", "b\n"}};
    compile("a.cu", moved, "sm_90a", compiler(), cache);
    Nvrtc newer = compiler();
    newer.version += 10;
    compile("a.cu", kSources, "sm_90a", newer, cache);
    CHECK_EQ(compilations(), before + 5);
}

TEST(a_damaged_file_is_compiled_again) {
    const Folder folder;
    const CubinCache cache(folder.path);
    const std::string whole = compile("a.cu", kSources, "sm_90a", compiler(), cache);
    for (const auto& entry : fs::directory_iterator(folder.path)) {
        std::ofstream(entry.path(), std::ios::in | std::ios::out).seekp(100) << "?";
    }
    const long before = compilations();
    CHECK_EQ(compile("a.cu", kSources, "sm_90a", compiler(), cache), whole);
    CHECK_EQ(compilations(), before + 1);
}

TEST(a_header_that_is_missing_is_named) {
    const std::string error = device_error([] {
        compile("a.cu", std::span(kSources).first(1), "sm_90a", compiler(), CubinCache(""));
    });
    CHECK(says(error, "a.cu do not compile for sm_90a"));
    CHECK(says(error, "b.cuh"));
}

TEST(our_own_sources_are_whole) {
    bool kernels = false;
    for (const Source& source : kernel_sources()) {
        CHECK(std::string(source.text).size() > 100);
        if (!std::string(source.name).ends_with(".cu")) continue;
        kernels = true;
        compile(source.name, kernel_sources(), "sm_90a", compiler(), CubinCache(""));
    }
    CHECK(kernels);
}

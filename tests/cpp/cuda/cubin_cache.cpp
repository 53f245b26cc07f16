// The cache of compiled kernels: what is damaged, foreign or too much.
#include "cuda/runtime/cubin_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

namespace fs = std::filesystem;
using nearfield::cuda::CubinCache;
using nearfield::cuda::Digest;
using nearfield::cuda::sha256;

namespace {

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/nearfield-cubins-XXXXXX";
        path = mkdtemp(name);
    }
    ~Folder() { fs::remove_all(path); }
    std::vector<fs::path> files() const {
        std::vector<fs::path> all;
        for (const auto& entry : fs::directory_iterator(path)) all.push_back(entry.path());
        return all;
    }
};

std::string text_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write(const fs::path& file, const std::string& text) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
}

const Digest kKey = sha256("key");

}  // namespace

TEST(what_is_kept_is_found) {
    const Folder folder;
    const CubinCache cache(folder.path + "/deep/er");
    CHECK(!cache.find(kKey));
    cache.keep(kKey, "cubin");
    CHECK_EQ(cache.find(kKey).value_or("nothing"), "cubin");
    CHECK(!cache.find(sha256("another key")));
}

TEST(every_damaged_byte_and_every_cut_is_noticed) {
    const Folder folder;
    const CubinCache cache(folder.path);
    cache.keep(kKey, "some cubin");
    const fs::path file = folder.files().at(0);
    const std::string whole = text_of(file);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
        write(file, damaged);
        CHECK(!cache.find(kKey));
        write(file, whole.substr(0, i));
        CHECK(!cache.find(kKey));
    }
    write(file, whole + "more");
    CHECK(!cache.find(kKey));
    cache.keep(kKey, "some cubin");
    CHECK(cache.find(kKey).has_value());
}

TEST(a_file_under_another_name_is_no_hit) {
    const Folder folder;
    const CubinCache cache(folder.path);
    cache.keep(kKey, "cubin");
    const fs::path file = folder.files().at(0);
    cache.keep(sha256("other"), "other cubin");
    fs::copy_file(file, folder.path + "/" + nearfield::cuda::hex(sha256("other")) + ".cubin",
                  fs::copy_options::overwrite_existing);
    CHECK(!cache.find(sha256("other")));
}

TEST(a_file_others_may_write_is_not_trusted) {
    const Folder folder;
    const CubinCache cache(folder.path);
    cache.keep(kKey, "cubin");
    const fs::path file = folder.files().at(0);
    fs::permissions(file, fs::perms::others_write, fs::perm_options::add);
    CHECK(!cache.find(kKey));
    cache.keep(kKey, "cubin");
    CHECK(cache.find(kKey).has_value());
    const fs::path elsewhere = folder.path + "/elsewhere";
    fs::rename(file, elsewhere);
    fs::create_symlink(elsewhere, file);
    CHECK(!cache.find(kKey));
}

TEST(the_cap_removes_what_was_used_longest_ago) {
    const Folder folder;
    const CubinCache cache(folder.path, 3 * 1100);
    const auto name = [](int i) { return sha256("kernel " + std::to_string(i)); };
    for (int i = 0; i < 3; ++i) {
        cache.keep(name(i), std::string(1000, 'c'));
        const auto file = folder.path + "/" + nearfield::cuda::hex(name(i)) + ".cubin";
        fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(9 - i));
    }
    CHECK(cache.find(name(0)).has_value());  // now the last that was used
    cache.keep(name(3), std::string(1000, 'c'));
    CHECK(cache.find(name(0)).has_value());
    CHECK(!cache.find(name(1)));
    CHECK(cache.find(name(2)).has_value());
    CHECK(cache.find(name(3)).has_value());
    // The newest stays even where it alone is too large.
    cache.keep(name(4), std::string(9000, 'c'));
    CHECK(cache.find(name(4)).has_value());
    CHECK_EQ(folder.files().size(), std::size_t{1});
}

TEST(a_folder_that_cannot_be_written_costs_nothing) {
    const CubinCache nowhere("");
    nowhere.keep(kKey, "cubin");
    CHECK(!nowhere.find(kKey));
    const CubinCache file("/dev/null/cache");
    file.keep(kKey, "cubin");
    CHECK(!file.find(kKey));
}

TEST(writers_at_once_leave_whole_files) {
    const Folder folder;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&folder] {
            const CubinCache cache(folder.path);
            for (int i = 0; i < 25; ++i) {
                cache.keep(kKey, std::string(20000, 'c'));
                const auto found = cache.find(kKey);
                if (found && *found != std::string(20000, 'c')) std::abort();
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(CubinCache(folder.path).find(kKey).has_value());
    CHECK_EQ(folder.files().size(), std::size_t{1});
}

TEST(the_environment_names_the_folder) {
    setenv("NEARFIELD_CACHE", "/a/b", 1);
    CHECK_EQ(CubinCache::usual().folder(), "/a/b");
    unsetenv("NEARFIELD_CACHE");
    setenv("XDG_CACHE_HOME", "/x", 1);
    CHECK_EQ(CubinCache::usual().folder(), "/x/nearfield");
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/home/someone", 1);
    CHECK_EQ(CubinCache::usual().folder(), "/home/someone/.cache/nearfield");
    unsetenv("HOME");
    CHECK_EQ(CubinCache::usual().folder(), "");
}

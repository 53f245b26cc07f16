// A small test frame: TEST(name) { ... CHECK(...) ... } registers a case, main() is provided, one
// program per file. Exit code 0 passes, 77 skips, 1 fails. Arguments select cases by name.
#pragma once

#include <cstdio>
#include <exception>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

namespace check {

struct Failure : std::exception {
    explicit Failure(std::string text_in) : text(std::move(text_in)) {}
    const char* what() const noexcept override { return text.c_str(); }
    std::string text;
};

struct Skip : std::exception {
    explicit Skip(std::string text_in) : text(std::move(text_in)) {}
    const char* what() const noexcept override { return text.c_str(); }
    std::string text;
};

struct Case {
    const char* name;
    void (*run)();
};

inline std::vector<Case>& cases() {
    static std::vector<Case> all;
    return all;
}

struct Register {
    Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

[[noreturn]] inline void fail(const char* file, int line, const std::string& text) {
    throw Failure(std::string(file) + ":" + std::to_string(line) + ": " + text);
}

template <class A, class B>
void equal(const A& a, const B& b, const char* text, const char* file, int line) {
    if (!(a == b)) {
        std::ostringstream out;
        out << "CHECK_EQ(" << text << "): " << a << " against " << b;
        fail(file, line, out.str());
    }
}

inline int run_all(int argc, char** argv) {
    int ran = 0;
    int failed = 0;
    for (const Case& test : cases()) {
        bool selected = argc < 2;
        for (int i = 1; i < argc; ++i) {
            selected = selected || std::string_view(test.name) == argv[i];
        }
        if (!selected) {
            continue;
        }
        try {
            test.run();
            ++ran;
            std::printf("pass %s\n", test.name);
        } catch (const Skip& skip) {
            std::printf("skip %s: %s\n", test.name, skip.what());
        } catch (const std::exception& error) {
            ++failed;
            std::printf("FAIL %s: %s\n", test.name, error.what());
        }
        std::fflush(stdout);
    }
    if (failed != 0) {
        return 1;
    }
    return ran == 0 ? 77 : 0;
}

}  // namespace check

#define TEST(name)                                                              \
    static void name();                                                         \
    [[maybe_unused]] static const check::Register register_##name(#name, name); \
    static void name()

#define CHECK(...)                                                      \
    do {                                                                \
        if (!(__VA_ARGS__)) {                                           \
            check::fail(__FILE__, __LINE__, "CHECK(" #__VA_ARGS__ ")"); \
        }                                                               \
    } while (false)

#define CHECK_EQ(a, b) check::equal((a), (b), #a ", " #b, __FILE__, __LINE__)

/// The expression throws exactly this kind of exception.
#define CHECK_THROWS(type, ...)                                                 \
    do {                                                                        \
        bool thrown_ = false;                                                   \
        try {                                                                   \
            static_cast<void>(__VA_ARGS__);                                     \
        } catch (const type&) {                                                 \
            thrown_ = true;                                                     \
        }                                                                       \
        if (!thrown_) {                                                         \
            check::fail(__FILE__, __LINE__, "no " #type " from " #__VA_ARGS__); \
        }                                                                       \
    } while (false)

#define SKIP(reason) throw check::Skip(reason)

int main(int argc, char** argv) { return check::run_all(argc, argv); }

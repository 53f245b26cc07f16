#include "failures.h"

#include <cstdlib>
#include <limits>
#include <map>
#include <mutex>
#include <sstream>

namespace standin {
namespace {

struct Failure {
    int code = 0;
    std::size_t from = 1;
    std::size_t to = std::numeric_limits<std::size_t>::max();
};

std::mutex g_mutex;
std::map<std::string, std::size_t> g_calls;

struct Plan {
    std::string text;
    std::map<std::string, Failure> failures;
    std::map<std::string, std::size_t> calls;  // since the text changed
};
Plan g_plan;

void read_plan(const std::string& text) {
    g_plan = {text, {}, {}};
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
        const auto equals = part.find('=');
        const auto at = part.find('@');
        if (equals == std::string::npos) continue;
        Failure failure;
        failure.code = std::stoi(part.substr(equals + 1));
        const auto until = part.find('-');
        if (at != std::string::npos) failure.from = std::stoul(part.substr(at + 1));
        if (until != std::string::npos) failure.to = std::stoul(part.substr(until + 1));
        g_plan.failures[part.substr(0, equals)] = failure;
    }
}

}  // namespace

int entered(const char* function) {
    const std::lock_guard lock(g_mutex);
    ++g_calls[function];
    const std::string text = setting("STANDIN_FAILS", "");
    if (text != g_plan.text) read_plan(text);
    const std::size_t nth = ++g_plan.calls[function];
    const auto found = g_plan.failures.find(function);
    if (found == g_plan.failures.end()) return -1;
    const Failure& failure = found->second;
    return nth >= failure.from && nth <= failure.to ? failure.code : -1;
}

std::size_t calls_of(const std::string& function) {
    const std::lock_guard lock(g_mutex);
    const auto found = g_calls.find(function);
    return found != g_calls.end() ? found->second : 0;
}

std::string setting(const char* variable, const char* otherwise) {
    const char* value = std::getenv(variable);
    return value != nullptr && *value != '\0' ? value : otherwise;
}

long number(const char* variable, long otherwise) {
    const std::string value = setting(variable, "");
    return value.empty() ? otherwise : std::stol(value);
}

}  // namespace standin

// A compiler that compiles nothing: it checks what it is given and remembers for which architecture.
// The kernels are linked in already, as C++.
#include <cstring>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "exports.h"

namespace {

struct Program {
    std::string text;
    std::map<std::string, std::string> headers;
    std::string cubin;
    std::string log;
};

std::vector<int> architectures() {
    std::vector<int> all;
    std::istringstream parts(standin::setting("STANDIN_ARCHS", "80,86,89,90,100,120"));
    for (std::string part; std::getline(parts, part, ',');) all.push_back(std::stoi(part));
    return all;
}

/// Every header that is named must be there, and there is a way to provoke an error.
std::string complaint(const Program& program, const std::string& text) {
    static const std::regex include("#\\s*include\\s*[\"<]([^\">]+)[\">]");
    if (standin::setting("STANDIN_COMPILE_ERROR", "") != "") {
        return "topk.cu(1): error: " + standin::setting("STANDIN_COMPILE_ERROR", "");
    }
    for (std::sregex_iterator at(text.begin(), text.end(), include), end; at != end; ++at) {
        const auto found = program.headers.find((*at)[1]);
        if (found == program.headers.end()) return "cannot open source file " + (*at)[1].str();
        const std::string inside = complaint(program, found->second);
        if (!inside.empty()) return inside;
    }
    return "";
}

}  // namespace

STANDIN_EXPORT int nvrtcVersion(int* major, int* minor) {
    const std::string version = standin::setting("STANDIN_NVRTC", "12.8");
    *major = std::stoi(version);
    *minor = std::stoi(version.substr(version.find('.') + 1));
    return 0;
}

STANDIN_EXPORT int nvrtcGetNumSupportedArchs(int* count) {
    *count = static_cast<int>(architectures().size());
    return 0;
}

STANDIN_EXPORT int nvrtcGetSupportedArchs(int* archs) {
    for (const int arch : architectures()) *archs++ = arch;
    return 0;
}

STANDIN_EXPORT int nvrtcCreateProgram(Program** program, const char* source, const char*,
                                      int headers, const char* const* texts,
                                      const char* const* names) {
    STANDIN_ENTER(nvrtcCreateProgram);
    (void)m;
    *program = new Program{source, {}, "", ""};
    for (int i = 0; i < headers; ++i) (*program)->headers[names[i]] = texts[i];
    return 0;
}

STANDIN_EXPORT int nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    STANDIN_ENTER(nvrtcCompileProgram);
    (void)m;
    std::string arch;
    for (int i = 0; i < count; ++i) {
        if (std::strncmp(options[i], "--gpu-architecture=", 19) == 0) arch = options[i] + 19;
    }
    program->log = complaint(*program, program->text);
    if (arch.empty() || !program->log.empty()) return 6;
    program->cubin = "standin " + arch + "\n" + program->text;
    program->cubin += '\0';
    return 0;
}

STANDIN_EXPORT int nvrtcGetProgramLogSize(Program* program, std::size_t* bytes) {
    *bytes = program->log.size() + 1;
    return 0;
}

STANDIN_EXPORT int nvrtcGetProgramLog(Program* program, char* log) {
    std::memcpy(log, program->log.c_str(), program->log.size() + 1);
    return 0;
}

STANDIN_EXPORT int nvrtcGetCUBINSize(Program* program, std::size_t* bytes) {
    *bytes = program->cubin.size();
    return 0;
}

STANDIN_EXPORT int nvrtcGetCUBIN(Program* program, char* cubin) {
    std::memcpy(cubin, program->cubin.data(), program->cubin.size());
    return 0;
}

STANDIN_EXPORT int nvrtcDestroyProgram(Program** program) {
    delete *program;
    *program = nullptr;
    return 0;
}

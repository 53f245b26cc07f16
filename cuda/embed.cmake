# Writes OUTPUT, a C++ file that holds the text of every kernel source in FOLDER.

file(GLOB files "${FOLDER}/*.cu" "${FOLDER}/*.cuh")
list(SORT files)
set(entries "")
foreach(file IN LISTS files)
  get_filename_component(name "${file}" NAME)
  file(READ "${file}" text)
  string(FIND "${text}" ")kernel\"" clash)
  if(NOT clash EQUAL -1)
    message(FATAL_ERROR "${name} holds the characters that end a literal")
  endif()
  string(APPEND entries "    {\"${name}\", R\"kernel(${text})kernel\"},\n")
endforeach()
file(WRITE "${OUTPUT}" "// Made by cuda/embed.cmake from cuda/kernels.
#include \"cuda/runtime/sources.h\"

namespace nearfield::cuda {
namespace {

constexpr Source kSources[] = {
${entries}};

}  // namespace

std::span<const Source> kernel_sources() noexcept { return kSources; }

}  // namespace nearfield::cuda
")

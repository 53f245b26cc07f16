// What make_quantizer knows.
#pragma once

#include <string>
#include <vector>

namespace nearfield {

/// Forms of names, for messages and for tests that take every quantizer: "sq8", "pq<m>x<bits>".
std::vector<std::string> quantizer_forms();

}  // namespace nearfield

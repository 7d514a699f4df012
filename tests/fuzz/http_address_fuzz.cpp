// Any bytes as what --monitor, a Host header and a request's target may be: a verdict, and what is
// taken for a path is one.
#include "parallel/base/check.h"
#include "runtime/monitor/http_address.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace retinue::runtime;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const HttpAddress address = parse_http_address(text);
    // What was taken reads the same when it is written out.
    const HttpAddress again = parse_http_address(to_string(address));
    if (again.host != address.host || again.port != address.port) std::abort();
  } catch (const retinue::UsageError&) {
  }
  // A name of a domain would be a hole in the guard against rebinding.
  if (names_loopback(text) && text.find("evil") != text.npos) std::abort();
  const std::string_view path = path_of_target(text);
  if (!path.empty() && (path[0] != '/' || path.find_first_of("%<>\"'& \r\n") != path.npos))
    std::abort();
  return 0;
}

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// The address at which a server listens.
struct HttpAddress {
  std::string host = "127.0.0.1";  ///< a name, an IPv4 or an IPv6 address without brackets
  std::uint16_t port = 0;          ///< 0: any free port
};

/// Reads --monitor: "HOST:PORT", "[IPv6]:PORT"; ":PORT" and "PORT" mean the loopback, which only
/// this machine reaches.   Throws: UsageError.
HttpAddress parse_http_address(std::string_view text);

/// "127.0.0.1:9090", "[::1]:9090"
std::string to_string(const HttpAddress& address);

/// Whether the Host header of a request names the loopback: localhost, 127.x.x.x or [::1], with any
/// port. A foreign page reaches a loopback server by letting its own name resolve to it, and then
/// sends that name.
bool names_loopback(std::string_view host_header);

/// The path of a request's target in origin form ("/status?x") or absolute form
/// ("http://host/status"), without the query. Empty for other forms and for paths with characters
/// beyond letters, digits and "/._-": no served path has any, so none is ever decoded.
std::string_view path_of_target(std::string_view target);

}  // namespace retinue::runtime

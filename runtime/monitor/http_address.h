#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// Where a server listens.
struct HttpAddress {
  std::string host = "127.0.0.1";  ///< a name, an IPv4 or an IPv6 address without brackets
  std::uint16_t port = 0;          ///< 0: any that is free
};

/// --monitor: "HOST:PORT", "[IPv6]:PORT"; ":PORT" and "PORT" are the loopback's, which only this
/// machine reaches.   Throws: UsageError.
HttpAddress parse_http_address(std::string_view text);

/// "127.0.0.1:9090", "[::1]:9090"
std::string to_string(const HttpAddress& address);

/// Whether the Host header of a request names the loopback: localhost, 127.x.x.x or [::1], with any
/// port. Others reach a loopback server when a page of theirs had their own name resolve to it.
bool names_loopback(std::string_view host_header);

/// The path of a request's target: without query, in origin form ("/status?x") or absolute form
/// ("http://host/status"). Empty for all else, and for a path with other characters than letters,
/// digits and "/._-": nothing served has any, so nothing is ever decoded.
std::string_view path_of_target(std::string_view target);

}  // namespace retinue::runtime

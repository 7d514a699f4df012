#include "runtime/monitor/http_address.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace retinue::runtime {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return port;
}

/// Whether `host` has only the characters of a name or an IPv4 address; of an IPv6 address with
/// zone.
bool is_host(std::string_view host, bool v6) {
  return !host.empty() && host.size() <= 253 && std::ranges::all_of(host, [&](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_' ||
           (v6 && (c == ':' || c == '%'));
  });
}

/// Host and port of "HOST:PORT", "[V6]:PORT", "HOST", "[V6]"; the port without its colon.
struct Parts {
  std::string_view host, port;
  bool v6 = false, has_port = false;
};
std::optional<Parts> split(std::string_view text) {
  Parts parts;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == text.npos) return {};
    parts.host = text.substr(1, end - 1), parts.v6 = true;
    text.remove_prefix(end + 1);
    if (!text.empty() && text[0] != ':') return {};
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    parts.host = text.substr(0, colon);
    text.remove_prefix(colon);
  }
  parts.has_port = !text.empty();
  if (parts.has_port) parts.port = text.substr(1);
  return parts;
}

}  // namespace

HttpAddress parse_http_address(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return UsageError(
        fmt::format("[--monitor] '{}': {}. Wanted HOST:PORT, [IPv6]:PORT, or a port alone for this "
                    "machine only, as in --monitor 9090; port 0 takes a free one.",
                    text, why));
  };
  HttpAddress address;
  if (!text.empty() && std::ranges::all_of(text, is_digit)) {
    const auto port = port_of(text);
    if (!port) throw refuse("ports end at 65535");
    address.port = *port;
    return address;
  }
  const auto parts = split(text);
  if (!parts) throw refuse("no IPv6 address in brackets");
  if (!parts->has_port) throw refuse("no port");
  if (!parts->v6 && parts->port.find(':') != parts->port.npos)
    throw refuse("an IPv6 address needs brackets");
  const auto port = port_of(parts->port);
  if (!port) throw refuse(fmt::format("'{}' is no port", parts->port));
  address.port = *port;
  if (parts->host.empty() && !parts->v6) return address;
  if (!is_host(parts->host, parts->v6)) throw refuse(fmt::format("'{}' is no host", parts->host));
  address.host = parts->host;
  return address;
}

std::string to_string(const HttpAddress& address) {
  const bool v6 = address.host.find(':') != address.host.npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", address.host, v6 ? "]" : "", address.port);
}

bool names_loopback(std::string_view host_header) {
  const auto parts = split(host_header);
  if (!parts || (parts->has_port && !port_of(parts->port))) return false;
  if (parts->v6) return parts->host == "::1";
  std::string name(parts->host);
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (name == "localhost") return true;
  // An address in 127.0.0.0/8 has digits and dots alone, and no domain name ends in a digit.
  return name.starts_with("127.") && is_digit(name.back()) &&
         std::ranges::all_of(name, [](char c) { return is_digit(c) || c == '.'; });
}

std::string_view path_of_target(std::string_view target) {
  if (target.starts_with("http://")) {
    const std::size_t slash = target.find_first_of("/?#", 7);
    target = slash == target.npos || target[slash] != '/' ? "" : target.substr(slash);
  }
  target = target.substr(0, target.find_first_of("?#"));
  const bool plain =
      target.starts_with('/') && std::ranges::all_of(target, [](char c) {
        return is_letter(c) || is_digit(c) || c == '/' || c == '.' || c == '_' || c == '-';
      });
  return plain ? target : std::string_view();
}

}  // namespace retinue::runtime

#include "runtime/media/media_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <optional>
#include <unistd.h>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestPath = 4095;  // Linux opens no longer one
constexpr std::size_t kShown = 40, kShort = 200;

DataError bad(std::string message) { return {"read", std::move(message)}; }

std::string shown(const std::string& text) {
  if (text.size() <= kShort) return text;
  return fmt::format("{}… ({} characters)", text.substr(0, kShown), text.size());
}

/// Whether the text is an image in base64: its first letters are those of a known format.
bool is_base64(const std::string& text) {
  constexpr std::array<std::string_view, 6> kFirst = {"/9j/",   "iVBORw0KGgo", "UklGR",
                                                      "R0lGOD", "AAAAIGZ0eX",  "GkXfo"};
  return text.size() > kShort &&
         std::any_of(kFirst.begin(), kFirst.end(),
                     [&](std::string_view first) { return text.starts_with(first); }) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '+' || c == '/' || c == '=' || c == '\n' ||
                  c == '\r';
         });
}

/// The text with %XX replaced; nothing where it has no escape.
std::optional<std::string> unescape(const std::string& text) {
  const auto digit = [&](std::size_t at) {
    if (at >= text.size()) return -1;
    const char c = text[at];
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  std::string out;
  bool any = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%' || digit(i + 1) < 0 || digit(i + 2) < 0) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(digit(i + 1) * 16 + digit(i + 2));
    i += 2;
    any = true;
  }
  if (!any) return std::nullopt;
  return out;
}

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

bool is_this_host(std::string_view host) {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return host == "localhost";
  return host == "localhost" || host == name.data();
}

/// What follows file://, as a path. A host comes first; texts without one were always read as
/// relative paths, and files that exist there still are.
Result<std::string> resolve_file_uri(const std::string& rest, const std::string& base_dir) {
  std::string path = rest;
  if (!rest.starts_with('/')) {
    const std::string near = (fs::path(base_dir) / rest).string();
    if (exists(near)) return near;
    if (exists(rest)) return rest;
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    if (!is_this_host(std::string_view(rest).substr(0, slash)))
      return bad(fmt::format(
          "file://{}: wanted file:///PATH, got the host or relative path {}, and no such file is "
          "here. Give the path on this machine.",
          shown(rest), shown(rest.substr(0, slash))));
    path = rest.substr(slash);
  }
  if (auto plain = unescape(path); plain && !exists(path)) path = std::move(*plain);
  if (path.find('\0') != std::string::npos)
    return bad("the path holds a NUL character, which no file name has. Correct the path.");
  return path;
}

}  // namespace

Result<std::string> resolve_media_path(const std::string& text, const std::string& base_dir) {
  if (text.starts_with("http://") || text.starts_with("https://"))
    return bad(fmt::format("{} is not a local file. Copy it first.", shown(text)));
  if (text.starts_with("data:")) return text;
  if (const auto nul = text.find('\0'); nul != std::string::npos)
    return bad(fmt::format(
        "the path \"{}\" goes on behind a NUL character, which no file name has. Correct the path.",
        shown(text.substr(0, nul))));
  if (is_base64(text))
    return bad(fmt::format(
        "wanted a path, got base64: {}. Write data:image/jpeg;base64, before it.", shown(text)));
  if (text.size() > kLongestPath)
    return bad(
        fmt::format("wanted a path of at most {} bytes, got {}. An image as base64 begins "
                    "with data:image/jpeg;base64,",
                    kLongestPath, shown(text)));
  if (text.starts_with("file://")) return resolve_file_uri(text.substr(7), base_dir);
  return (fs::path(base_dir) / text).string();
}

}  // namespace retinue::runtime

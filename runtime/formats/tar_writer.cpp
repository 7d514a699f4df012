#include "runtime/formats/tar_writer.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace retinue::runtime {
namespace {

constexpr std::size_t kBlock = 512, kNameBytes = 100;

/// "27 path=…\n": the length counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (fmt::to_string(length).size() + rest != length)
    length = fmt::to_string(length).size() + rest;
  return fmt::format("{} {}={}\n", length, key, value);
}

}  // namespace

void TarWriter::add_entry(std::string_view name, char type, std::string_view content) {
  std::array<char, kBlock> header{};
  const auto put = [&](std::size_t at, std::string_view text) {
    std::ranges::copy(text, header.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(0, name.substr(0, kNameBytes));
  put(100, "0000644");  // mode
  put(108, "0000000");  // owner
  put(116, "0000000");  // group
  put(124, fmt::format("{:011o}", content.size()));
  put(136, "00000000000");  // time
  put(148, "        ");     // checksum, as it counts itself
  header[156] = type;
  put(257, std::string_view("ustar\00000", 8));
  put(329, "0000000");  // device numbers
  put(337, "0000000");
  unsigned sum = 0;
  for (const char each : header) sum += static_cast<unsigned char>(each);
  put(148, fmt::format("{:06o}", sum));
  header[154] = '\0';
  file_.write({header.data(), header.size()});
  file_.write(content);
  const std::size_t over = content.size() % kBlock;
  if (over > 0) file_.write(std::string(kBlock - over, '\0'));
}

void TarWriter::add(std::string_view name, std::string_view content) {
  check(content.size() < (std::size_t{1} << 33), "a file of a tar archive is below 8 GiB");
  const bool plain = name.size() <= kNameBytes &&
                     std::ranges::all_of(name, [](char c) { return c >= ' ' && c <= '~'; });
  if (!plain) add_entry("pax_header", 'x', pax_record("path", name));
  add_entry(name, '0', content);
}

void TarWriter::commit() {
  file_.write(std::string(2 * kBlock, '\0'));
  file_.commit();
}

}  // namespace retinue::runtime

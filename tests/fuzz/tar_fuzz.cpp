// Any bytes as a tar archive: members that lie inside it, links followed, or an error.
#include "runtime/formats/tar_links.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

namespace {

using namespace retinue::runtime;

/// Writes the right checksum into a header, so that the code behind that check is reached, too.
void mend(std::span<std::byte> header) {
  std::memset(header.data() + 148, ' ', 8);
  unsigned sum = 0;
  for (const std::byte b : header) sum += static_cast<unsigned>(b);
  for (std::size_t digit = 6; digit-- > 0; sum /= 8)
    header[148 + digit] = static_cast<std::byte>('0' + sum % 8);
}

void read_all(const std::uint8_t* data, std::size_t size, bool mended) {
  TarReader reader(
      [&](std::int64_t offset, std::span<std::byte> to) -> std::size_t {
        const auto at = static_cast<std::size_t>(offset);
        if (offset < 0 || at >= size) return 0;
        const std::size_t bytes = std::min(to.size(), size - at);
        std::memcpy(to.data(), data + at, bytes);
        if (mended && bytes == 512 && to[0] != std::byte{0}) mend(to);
        return bytes;
      },
      static_cast<std::int64_t>(size));
  std::vector<TarMember> members;
  while (true) {
    const auto next = reader.next();
    if (!next.ok() || !next.value()) break;
    members.push_back(*next.value());
  }
  follow_links(members);
  for (const TarMember& member : members) {
    if (member.offset < 0 || member.bytes < 0 ||
        member.offset + member.bytes > static_cast<std::int64_t>(size))
      std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read_all(data, size, false);
  read_all(data, size, true);
  return 0;
}

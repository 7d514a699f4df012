// Any bytes as a tar archive: members that lie inside it, or an error.
#include "runtime/input/tar.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace retinue::runtime;
  TarReader reader(
      [&](std::int64_t offset, std::span<std::byte> to) -> std::size_t {
        const auto at = static_cast<std::size_t>(offset);
        if (offset < 0 || at >= size) return 0;
        const std::size_t bytes = std::min(to.size(), size - at);
        std::memcpy(to.data(), data + at, bytes);
        return bytes;
      },
      static_cast<std::int64_t>(size));
  while (true) {
    const auto next = reader.next();
    if (!next.ok() || !next.value()) return 0;
    const TarMember& member = *next.value();
    if (member.offset < 0 || member.bytes < 0 ||
        member.offset + member.bytes > static_cast<std::int64_t>(size))
      std::abort();
  }
}

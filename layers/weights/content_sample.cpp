#include "layers/weights/content_sample.h"

#include "parallel/base/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

namespace retinue::layers {

std::string describe_tensor(const Checkpoint& checkpoint, const std::string& name) {
  // They lie in one or two pages of the file.
  constexpr std::size_t kSampleBytes = 256;
  const StoredTensor& stored = *checkpoint.find(name);
  std::vector<std::byte> sample(std::min(kSampleBytes, stored.bytes.size()));
  // From the file itself: a source would count these bytes as loaded.
  const std::size_t middle = (stored.bytes.size() - sample.size()) / 2;
  checkpoint.file_of(name).read(name, static_cast<std::int64_t>(middle), sample);
  return fmt::format("{} {} {}, sample {:016x}", name, to_string(stored.type),
                     stored.shape.to_string(), xxh3_64(std::span<const std::byte>(sample)));
}

std::string content_sample(const Checkpoint& checkpoint) {
  std::string all;
  for (const std::string& name : checkpoint.names())
    all += describe_tensor(checkpoint, name) + "\n";
  return sha256_hex(all);
}

}  // namespace retinue::layers

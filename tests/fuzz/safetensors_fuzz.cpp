// Any bytes as a safetensors file: a UsageError, or tensors whose bytes lie inside the file.
#include "layers/weights/safetensors.h"
#include "parallel/base/check.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace retinue;
  constexpr std::size_t kLengthBytes = 8;
  if (size < kLengthBytes) return 0;
  std::uint64_t length = 0;
  std::memcpy(&length, data, kLengthBytes);
  // A wrong length ends before the header: this looks behind it, too.
  const auto header_bytes =
      static_cast<std::size_t>(std::min<std::uint64_t>(length, size - kLengthBytes));
  const std::string_view header(reinterpret_cast<const char*>(data) + kLengthBytes, header_bytes);
  const auto tensors = std::as_bytes(std::span(data, size)).subspan(kLengthBytes + header_bytes);
  try {
    for (const auto& [name, tensor] :
         layers::parse_safetensors_header("fuzz.safetensors", header, tensors)) {
      const bool inside =
          tensor.bytes.data() >= tensors.data() &&
          tensor.bytes.data() + tensor.bytes.size() <= tensors.data() + tensors.size();
      if (!inside) std::abort();
      if (static_cast<std::size_t>(tensor.shape.numel()) * size_bytes(tensor.type) !=
          tensor.bytes.size())
        std::abort();
    }
  } catch (const UsageError&) {
  }
  return 0;
}

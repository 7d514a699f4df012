// Any bytes as a Parquet file: refused, or every cell of its first rows is read or refused, twice
// alike, and so is every column as JSON.
#include "parallel/base/check.h"
#include "runtime/formats/parquet/nested.h"
#include "runtime/formats/parquet/reader.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace retinue;
  // The reader wants a file: one in memory.
  static const int kFile = memfd_create("fuzz", 0);
  static const std::string kPath = "/proc/self/fd/" + std::to_string(kFile);
  check(kFile >= 0 && ftruncate(kFile, 0) == 0 &&
            pwrite(kFile, data, size, 0) == static_cast<ssize_t>(size),
        "a file in memory");
  const auto file = runtime::ParquetFile::open(
      kPath, {.cache_bytes = std::int64_t{1} << 20, .max_page_bytes = std::int64_t{8} << 20});
  if (!file.ok()) return 0;
  const std::int64_t rows = std::min<std::int64_t>((*file)->rows(), 64);
  const int columns = static_cast<int>(std::min<std::size_t>((*file)->columns().size(), 64));
  for (int column = 0; column < columns; ++column) {
    runtime::ParquetCursor cursor(*file, column);
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto in_order = cursor.cell(row);
      const auto alone = (*file)->cell(row, column);
      check(in_order.ok() == alone.ok(), "a cell depends on what was read before");
      if (!in_order.ok()) break;
      check(in_order.value().values == alone.value().values &&
                (!alone.value().null || alone.value().values.empty()),
            "a cell depends on what was read before, or is absent with values");
    }
  }
  for (std::size_t node = 0; node < std::min<std::size_t>((*file)->schema().size(), 64); ++node) {
    runtime::ParquetJson in_order(*file, (*file)->schema()[node]);
    for (std::int64_t row = 0; row < rows; ++row) {
      runtime::ParquetJson alone(*file, (*file)->schema()[node]);
      const auto first = in_order.value(row), second = alone.value(row);
      check(first.ok() == second.ok() && (!first.ok() || *first == *second),
            "a row depends on what was read before");
      if (!first.ok()) break;
    }
  }
  return 0;
}

#pragma once

#include "parallel/base/result.h"
#include "runtime/formats/parquet/reader.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// One column of any type as JSON, row by row.   Melnik et al. 2010, "Dremel", section 4.3
///   struct        an object, absent fields as null
///   list          a list; null where it is absent
///   map           an object; keys that are no texts become texts
///   numbers       numbers; NaN is null, "inf" and "-inf" are texts
///   binary        a json::binary whose bytes are the path of the leaf and whose subtype is the number
///                 of its value in ParquetFile::cell() of this row: it stays in the file
///   others        texts, as ParquetCell has them
/// For one thread. Memory: a row and a page for each leaf.
class ParquetJson {
 public:
  /// The largest row that is read, in bytes of text and of levels.
  static constexpr std::int64_t kMostRowBytes = std::int64_t{64} << 20;

  /// A column of file->schema().
  ParquetJson(std::shared_ptr<const ParquetFile> file, const ParquetNode& column);
  ~ParquetJson();
  ParquetJson(ParquetJson&&) noexcept;

  /// Errors: as ParquetFile::cell; levels that do not fit each other; a row above kMostRowBytes.
  [[nodiscard]] Result<nlohmann::ordered_json> value(std::int64_t row);

 private:
  struct Leaf;
  std::shared_ptr<const ParquetFile> file_;
  const ParquetNode* column_;
  std::vector<Leaf> leaves_;
};

}  // namespace retinue::runtime

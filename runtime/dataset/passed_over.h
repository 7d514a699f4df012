#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace retinue::runtime {

/// A kind of thing in the inputs that is no item and is not read, and how often it was found.
struct PassedOver {
  std::string what;  ///< ".parquet", "key \"licence\""
  std::string why;
  std::uint64_t count = 0;
  friend bool operator==(const PassedOver&, const PassedOver&) = default;
};

/// ".parquet: 3 (why), .md: 1, .txt: 12 (why)"; empty for none. For people.
std::string describe(const std::vector<PassedOver>& kinds);

/// " There are: …", for the message that an input gives no item; empty for none.
std::string describe_instead(const std::vector<PassedOver>& kinds);

/// Counts what listing passes over. Memory is bounded: kinds past the first kMostKinds are counted
/// together, because names of keys come from the input.
class PassedOverCounts {
 public:
  static constexpr std::size_t kMostKinds = 200;

  void add(std::string_view what, std::string_view why);
  /// Sorted by reason, then by what it is.
  [[nodiscard]] std::vector<PassedOver> list() const;

 private:
  std::map<std::pair<std::string, std::string>, std::uint64_t> counts_;  ///< (why, what)
  std::uint64_t others_ = 0;
};

}  // namespace retinue::runtime

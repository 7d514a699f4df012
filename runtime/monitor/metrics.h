#pragma once

#include <cstdint>
#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// Writes Prometheus' text exposition format 0.0.4.
///
/// Names contain their unit and, for counters, end in "_total"; each is described once. An invalid
/// name is a BugError, since only the values of labels come from outside the source.
class MetricsText {
 public:
  struct Label {
    std::string_view name;
    std::string_view value;  ///< any bytes; malformed UTF-8 becomes U+FFFD
  };
  using Labels = std::initializer_list<Label>;

  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

  /// Begins a family; its samples follow. Only the name of a counter ends with "_total".
  void counter(std::string_view name, std::string_view help);
  void gauge(std::string_view name, std::string_view help);
  /// Adds a sample of the family that was begun last.
  void sample(double value, Labels labels = {});

  /// Adds a family of one histogram.
  ///   bounds  upper bounds of the buckets, inclusive, ascending
  ///   counts  per bucket, not cumulative; one more than bounds, for values above the last
  void histogram(std::string_view name, std::string_view help, std::span<const double> bounds,
                 std::span<const std::int64_t> counts, double sum);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void begin(std::string_view name, std::string_view help, std::string_view type);
  void line(std::string_view name, Labels labels, double value);

  std::string text_;
  std::string family_;
  std::set<std::string, std::less<>> seen_;
};

}  // namespace retinue::runtime

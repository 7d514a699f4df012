#include "runtime/monitor/metrics.h"

#include "parallel/base/check.h"
#include "parallel/base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace retinue::runtime {
namespace {

bool is_name(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && letter(name[0]) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

/// Help texts escape backslash and line feed; values of labels also escape the quotation mark.
std::string escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : replace_malformed_utf8(text)) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
  return out;
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

}  // namespace

void MetricsText::begin(std::string_view name, std::string_view help, std::string_view type) {
  check(is_name(name), "a metric's name is letters, digits and underscores");
  check((type == "counter") == name.ends_with("_total"), "counters alone are totals");
  check(seen_.emplace(name).second, "a metric is described once");
  family_ = name;
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escaped(help, false), name, type);
}

void MetricsText::counter(std::string_view name, std::string_view help) {
  begin(name, help, "counter");
}
void MetricsText::gauge(std::string_view name, std::string_view help) {
  begin(name, help, "gauge");
}

void MetricsText::sample(double value, Labels labels) { line(family_, labels, value); }

void MetricsText::line(std::string_view name, Labels labels, double value) {
  text_ += name;
  const char* before = "{";
  for (const Label& label : labels) {
    check(is_name(label.name) && !label.name.starts_with("__"), "a label's name is a plain one");
    text_ += fmt::format("{}{}=\"{}\"", before, label.name, escaped(label.value, true));
    before = ",";
  }
  if (labels.size() > 0) text_ += '}';
  text_ += fmt::format(" {}\n", number(value));
}

void MetricsText::histogram(std::string_view name, std::string_view help,
                            std::span<const double> bounds, std::span<const std::int64_t> counts,
                            double sum) {
  check(counts.size() == bounds.size() + 1, "a histogram counts values above its last bound");
  check(std::ranges::is_sorted(bounds), "a histogram's bounds ascend");
  begin(name, help, "histogram");
  const std::string bucket = fmt::format("{}_bucket", name);
  std::int64_t so_far = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    so_far += counts[i];
    const std::string bound = i < bounds.size() ? number(bounds[i]) : "+Inf";
    line(bucket, {{"le", bound}}, static_cast<double>(so_far));
  }
  line(fmt::format("{}_sum", name), {}, sum);
  line(fmt::format("{}_count", name), {}, static_cast<double>(so_far));
}

}  // namespace retinue::runtime

#include "runtime/study/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

namespace retinue::study {
namespace {

constexpr double kWidth = 420;
constexpr int kColours = 7;

/// 1, 2 or 5 times a power of ten: about `parts` steps up to `most`.
double tick_step(double most, int parts) {
  const double rough = most / parts;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough) return factor * power;
  return 10 * power;
}

std::string begin(double height, const std::string& title) {
  return fmt::format(
      "<figure><svg viewBox=\"0 0 {} {:.0f}\" role=\"img\" aria-label=\"{}\"><text class=\"title\" "
      "x=\"8\" y=\"18\">{}</text>",
      kWidth, height, escaped(title), escaped(title));
}

/// Names with their colours, in lines of what fits.
std::string legend(const std::vector<std::string>& names, const std::vector<bool>& dashed,
                   const std::vector<std::size_t>& colours, double y, double& bottom) {
  std::string text;
  double x = 8;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::size_t colour = i < colours.size() ? colours[i] : i % kColours;
    const double width = 26 + 6.4 * static_cast<double>(names[i].size());
    if (x + width > kWidth && x > 8) x = 8, y += 18;
    if (i < dashed.size() && dashed[i])
      fmt::format_to(std::back_inserter(text),
                     "<line class=\"line dashed c{}\" x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"{:.0f}\" "
                     "y2=\"{:.0f}\"/>",
                     colour, x, x + 12, y - 4, y - 4);
    else
      fmt::format_to(
          std::back_inserter(text),
          "<rect class=\"fill c{}\" x=\"{:.0f}\" y=\"{:.0f}\" width=\"12\" height=\"10\"/>", colour,
          x, y - 9);
    fmt::format_to(std::back_inserter(text), "<text x=\"{:.0f}\" y=\"{:.0f}\">{}</text>", x + 16, y,
                   escaped(names[i]));
    x += width;
  }
  bottom = y + 10;
  return text;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string line_chart(const LineChart& chart) {
  constexpr double kLeft = 52, kRight = kWidth - 14, kTop = 30, kBottom = 222;
  double most_y = 0, least_x = 1e300, most_x = 0;
  std::set<double> ticks;
  for (const Series& series : chart.series)
    for (const PlotPoint& point : series.points) {
      most_y = std::max({most_y, point.y, point.high.value_or(0)});
      least_x = std::min(least_x, point.x), most_x = std::max(most_x, point.x);
      if (series.dots) ticks.insert(point.x);
    }
  if (most_y <= 0 || most_x <= 0) return "";
  const double step = tick_step(most_y, 5);
  most_y = step * std::ceil(most_y / step - 1e-9);
  const auto at = [&](double x) { return chart.log_x ? std::log2(x) : x; };
  const double span = std::max(1e-9, at(most_x) - at(least_x));
  const auto px = [&](double x) {
    return most_x > least_x ? kLeft + 12 + (kRight - kLeft - 24) * (at(x) - at(least_x)) / span
                            : (kLeft + kRight) / 2;
  };
  const auto py = [&](double y) { return kBottom - (kBottom - kTop) * y / most_y; };

  std::string body;
  const auto out = std::back_inserter(body);
  for (double y = 0; y <= most_y * 1.0001; y += step)
    fmt::format_to(out,
                   "<line class=\"grid\" x1=\"{0:.0f}\" x2=\"{1:.0f}\" y1=\"{2:.1f}\" "
                   "y2=\"{2:.1f}\"/><text class=\"tick\" text-anchor=\"end\" x=\"{3:.0f}\" "
                   "y=\"{4:.1f}\">{5:g}</text>",
                   kLeft, kRight, py(y), kLeft - 5, py(y) + 4, std::round(y / step) * step);
  double last = -1e9;
  for (const double x : ticks) {
    if (px(x) - last < 28) continue;
    last = px(x);
    fmt::format_to(out,
                   "<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.0f}\">{:g}"
                   "</text>",
                   px(x), kBottom + 15, x);
  }
  fmt::format_to(out,
                 "<text class=\"tick\" text-anchor=\"end\" x=\"{:.0f}\" y=\"{:.0f}\">{}</text>"
                 "<text class=\"tick\" text-anchor=\"end\" x=\"{:.0f}\" y=\"18\">{}</text>",
                 kRight, kBottom + 30, escaped(chart.x_label), kRight, escaped(chart.y_label));
  std::vector<std::string> names;
  std::vector<bool> dashed;
  std::vector<std::size_t> colours;
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    const Series& series = chart.series[s];
    const std::size_t colour =
        (series.colour >= 0 ? static_cast<std::size_t>(series.colour) : s) % kColours;
    names.push_back(series.name), dashed.push_back(series.dashed), colours.push_back(colour);
    if (series.line) {
      std::string path;
      for (const PlotPoint& point : series.points)
        fmt::format_to(std::back_inserter(path), "{}{:.1f},{:.1f}", path.empty() ? "" : " ",
                       px(point.x), py(point.y));
      fmt::format_to(out, "<polyline class=\"line c{}{}\" points=\"{}\"/>", colour,
                     series.dashed ? " dashed" : "", path);
    }
    if (!series.dots) continue;
    for (const PlotPoint& point : series.points) {
      if (point.low && point.high)
        fmt::format_to(out,
                       "<line class=\"line c{0}\" x1=\"{1:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" "
                       "y2=\"{3:.1f}\"/>",
                       colour, px(point.x), py(*point.low), py(*point.high));
      fmt::format_to(out,
                     "<circle class=\"fill c{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"><title>{}: "
                     "{:.4g}</title></circle>",
                     colour, px(point.x), py(point.y), escaped(series.name), point.y);
    }
  }
  double bottom = 0;
  body += legend(names, dashed, colours, kBottom + 48, bottom);
  return begin(bottom, chart.title) + body + "</svg></figure>\n";
}

std::string stacked_bars(const StackedBars& chart) {
  constexpr double kLeft = 104, kRight = kWidth - 12, kBar = 18, kEach = 28;
  std::string body;
  double y = 32;
  for (const StackedBars::Bar& bar : chart.bars) {
    fmt::format_to(std::back_inserter(body),
                   "<text text-anchor=\"end\" x=\"{:.0f}\" y=\"{:.1f}\">{}</text>", kLeft - 6,
                   y + 13, escaped(bar.name));
    double x = kLeft;
    for (std::size_t i = 0; i < bar.shares.size(); ++i) {
      const double width = (kRight - kLeft) * bar.shares[i];
      if (width > 0.05)
        fmt::format_to(std::back_inserter(body),
                       "<rect class=\"fill c{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
                       "height=\"{}\"><title>{}: {:.1f} %</title></rect>",
                       i % kColours, x, y, width, kBar, escaped(chart.parts[i]),
                       100 * bar.shares[i]);
      if (width > 30)
        fmt::format_to(
            std::back_inserter(body),
            "<text class=\"inside\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{:.0f}"
            "</text>",
            x + width / 2, y + 13, 100 * bar.shares[i]);
      x += width;
    }
    y += kEach;
  }
  double bottom = 0;
  body += legend(chart.parts, {}, {}, y + 14, bottom);
  return begin(bottom, chart.title) + body + "</svg></figure>\n";
}

std::string paired_bars(const PairedBars& chart) {
  constexpr double kLeft = 104, kRight = kWidth - 132, kBar = 11, kEach = 36;
  double most = 0;
  for (const PairedBars::Bar& bar : chart.bars) most = std::max({most, bar.first, bar.second});
  if (most <= 0) return "";
  std::string body;
  double y = 32;
  for (const PairedBars::Bar& bar : chart.bars) {
    fmt::format_to(std::back_inserter(body),
                   "<text text-anchor=\"end\" x=\"{:.0f}\" y=\"{:.1f}\">{}</text>", kLeft - 6,
                   y + 15, escaped(bar.name));
    int row = 0;
    for (const double value : {bar.first, bar.second}) {
      fmt::format_to(std::back_inserter(body),
                     "<rect class=\"fill c{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
                     "height=\"{}\"/>",
                     row, kLeft, y + row * (kBar + 1), (kRight - kLeft) * value / most, kBar);
      ++row;
    }
    fmt::format_to(std::back_inserter(body),
                   "<text x=\"{:.0f}\" y=\"{:.1f}\">{:.3g} / {:.3g}{}</text>",
                   kLeft + (kRight - kLeft) * std::max(bar.first, bar.second) / most + 5, y + 15,
                   bar.first, bar.second, escaped(bar.note.empty() ? "" : " " + bar.note));
    y += kEach;
  }
  double bottom = 0;
  body += legend({chart.first, chart.second}, {}, {}, y + 12, bottom);
  return begin(bottom, chart.title + ", " + chart.unit) + body + "</svg></figure>\n";
}

}  // namespace retinue::study

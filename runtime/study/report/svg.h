#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::study {

/// Drawings as SVG text for a page of html.h, whose style sheet gives the classes c0 to c6 their
/// colours in light and in dark. 420 units wide: as wide as a phone, so that words stay readable.

struct PlotPoint {
  double x = 0, y = 0;
  std::optional<double> low = {}, high = {};  ///< the spread of trials
};
struct Series {
  std::string name;
  std::vector<PlotPoint> points;
  bool line = true;
  bool dots = true;
  bool dashed = false;  ///< ideals and fits
  int colour = -1;      ///< 0 to 6; -1: by its place
};
struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  bool log_x = false;  ///< ticks at the points of the first series
};
/// From 0 upwards.
std::string line_chart(const LineChart& chart);

struct StackedBars {
  std::string title;
  std::vector<std::string> parts;  ///< named in the legend
  struct Bar {
    std::string name;
    std::vector<double> shares;  ///< of 1, one per part
  };
  std::vector<Bar> bars;
};
std::string stacked_bars(const StackedBars& chart);

struct PairedBars {
  std::string title, unit, first, second;
  struct Bar {
    std::string name;
    double first = 0, second = 0;
    std::string note;
  };
  std::vector<Bar> bars;
};
std::string paired_bars(const PairedBars& chart);

/// Text within HTML or SVG: & < > " ' as entities, control characters as spaces.
std::string escaped(std::string_view text);

}  // namespace retinue::study

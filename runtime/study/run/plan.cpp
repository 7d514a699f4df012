#include "runtime/study/run/plan.h"

#include "parallel/base/check.h"
#include "parallel/base/rng.h"
#include "runtime/jobs/option_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace retinue::study {
namespace {

std::vector<std::string_view> parts_of(std::string_view text, char between) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(between);
    parts.push_back(text.substr(0, at));
    if (at == text.npos) return parts;
    text.remove_prefix(at + 1);
  }
}

bool read_number(std::string_view text, std::int64_t most, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 1 && value <= most;
}

void shuffle(std::vector<Cell>& cells, std::uint64_t key) {
  for (std::size_t i = cells.size(); i > 1; --i)
    std::swap(cells[i - 1], cells[random_bits(key, i) % i]);
}

constexpr std::array kAblations = {Ablation::kNone, Ablation::kNullCollectives,
                                   Ablation::kPreloadedPixels, Ablation::kTextOnly};

}  // namespace

std::string Layout::name() const { return fmt::format("TP{} x{}", tensor, data); }

std::vector<Layout> parse_layouts(std::string_view text) {
  std::vector<Layout> layouts;
  for (const std::string_view part : parts_of(text, ',')) {
    const auto sizes = parts_of(part, 'x');
    std::int64_t tensor = 0, data = 0;
    if (sizes.size() != 2 || !read_number(sizes[0], 1 << 20, tensor) ||
        !read_number(sizes[1], 1 << 20, data))
      throw UsageError(fmt::format(
          "[--layouts] has '{}', wanted TENSORxDATA, as in 1x1,2x1,1x2: ranks per replica and how "
          "many replicas",
          part));
    const Layout layout{static_cast<int>(tensor), static_cast<int>(data)};
    if (std::ranges::count(layouts, layout) > 0)
      throw UsageError(fmt::format("[--layouts] names {} twice", part));
    layouts.push_back(layout);
  }
  return layouts;
}

std::vector<std::int64_t> parse_sizes(std::string_view text, std::string_view flag) {
  if (text.empty()) return {0};
  std::vector<std::int64_t> sizes;
  for (const std::string_view part : parts_of(text, ',')) {
    std::int64_t value = 0;
    if (!read_number(part, std::int64_t{1} << 40, value))
      throw UsageError(fmt::format("[{}] has '{}', wanted numbers from 1, as in 4,16", flag, part));
    if (std::ranges::count(sizes, value) > 0)
      throw UsageError(fmt::format("[{}] names {} twice", flag, part));
    sizes.push_back(value);
  }
  return sizes;
}

const char* name(Scaling scaling) { return scaling == Scaling::kStrong ? "strong" : "weak"; }

std::vector<Scaling> parse_scaling(std::string_view text) {
  if (text == "strong") return {Scaling::kStrong};
  if (text == "weak") return {Scaling::kWeak};
  if (text == "both") return {Scaling::kStrong, Scaling::kWeak};
  throw UsageError(fmt::format("[--scaling] is '{}', wanted strong, weak or both", text));
}

const char* name(Ablation ablation) { return name_in(runtime::kAblationNames, ablation).data(); }

std::vector<Ablation> parse_ablations(std::string_view text) {
  if (text.empty() || text == "none") return {};
  std::vector<Ablation> ablations;
  for (const std::string_view part : parts_of(text, ',')) {
    const auto found =
        std::ranges::find_if(kAblations, [&](Ablation a) { return part == name(a); });
    if (found == kAblations.end() || *found == Ablation::kNone ||
        std::ranges::count(ablations, *found) > 0)
      throw UsageError(
          fmt::format("[--ablations] has '{}', wanted none, or some of null-collectives, "
                      "preloaded-pixels and text-only, each once",
                      part));
    ablations.push_back(*found);
  }
  return ablations;
}

const char* name(CellKind kind) {
  switch (kind) {
    case CellKind::kWarmUp:
      return "warm-up";
    case CellKind::kTrial:
      return "trial";
    case CellKind::kCalibration:
      return "calibration";
    case CellKind::kDrift:
      return "drift";
  }
  return "";
}

std::string Cell::id() const {
  return fmt::format("{}-t{}d{}-s{}-p{}-{}-{}{}", study::name(scaling), layout.tensor, layout.data,
                     max_sequences, max_pixels, study::name(ablation), study::name(kind), trial);
}

std::vector<Cell> plan_cells(const PlanOptions& options) {
  check(!options.layouts.empty(), "a study has a layout");
  std::vector<Cell> cells, cases, last;
  for (const std::int64_t pixels : options.max_pixels) {
    const Cell baseline{.layout = options.layouts[0],
                        .max_sequences = options.max_sequences[0],
                        .max_pixels = pixels};
    cells.push_back(baseline);
    cells.back().kind = CellKind::kWarmUp;
    for (const std::int64_t sequences : options.max_sequences) {
      for (const Layout& layout : options.layouts) {
        Cell cell = baseline;
        cell.layout = layout, cell.max_sequences = sequences;
        for (const Scaling scaling : options.scalings) {
          cell.scaling = scaling;
          cases.push_back(cell);
        }
        cell.scaling = Scaling::kStrong;
        cases.push_back(cell);
        cases.back().kind = CellKind::kCalibration;
        if (std::ranges::count(options.scalings, Scaling::kStrong) == 0) continue;
        for (const Ablation ablation : options.ablations) {
          if (ablation == Ablation::kNullCollectives && layout.tensor == 1) continue;
          cases.push_back(cell);
          cases.back().ablation = ablation;
        }
      }
      last.push_back(baseline);
      last.back().max_sequences = sequences;
      last.back().kind = CellKind::kDrift;
      last.back().scaling = options.scalings[0];
    }
  }
  for (int trial = 1; trial <= options.trials; ++trial) {
    std::vector<Cell> round = cases;
    for (Cell& cell : round) cell.trial = trial;
    shuffle(round, mix64(options.seed ^ mix64(static_cast<std::uint64_t>(trial))));
    cells.insert(cells.end(), round.begin(), round.end());
  }
  cells.insert(cells.end(), last.begin(), last.end());
  return cells;
}

}  // namespace retinue::study

#include "runtime/study/report/html.h"

#include "runtime/study/report/svg.h"
#include "runtime/study/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace retinue::study {
namespace {

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--back:#fff;--ink:#1d2330;--soft:#5d6675;--line:#d8dde6;--card:#f6f7fa;--warn:#a33a00;
--c0:#2563a8;--c1:#c2570c;--c2:#2f855a;--c3:#9b2c6f;--c4:#6b5bd0;--c5:#a08500;--c6:#8a93a3}
@media(prefers-color-scheme:dark){:root{--back:#12161d;--ink:#e6eaf2;--soft:#9aa5b6;--line:#303846;--card:#1b212b;
--warn:#ffab70;--c0:#6aa9f0;--c1:#f0934e;--c2:#5fc08d;--c3:#e287bb;--c4:#a99cff;--c5:#dcc24a;--c6:#77818f}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1360px;padding:16px;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.35rem;margin:.2em 0}h2{font-size:1.1rem;margin:1.6em 0 .4em}
p{margin:.4em 0}.soft{color:var(--soft)}
.note{border-left:4px solid var(--warn);padding:.3em .8em;margin:.6em 0;background:var(--card)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:14px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--ink);font-size:12px}svg .title{font-size:13px;font-weight:600}
svg .tick{fill:var(--soft);font-size:11px}svg .inside{fill:var(--back);font-size:11px}
svg .grid{stroke:var(--line)}svg .line{fill:none;stroke-width:2}svg .dashed{stroke-dasharray:5 4}
.fill.c0{fill:var(--c0)}.fill.c1{fill:var(--c1)}.fill.c2{fill:var(--c2)}.fill.c3{fill:var(--c3)}
.fill.c4{fill:var(--c4)}.fill.c5{fill:var(--c5)}.fill.c6{fill:var(--c6)}
.line.c0{stroke:var(--c0)}.line.c1{stroke:var(--c1)}.line.c2{stroke:var(--c2)}.line.c3{stroke:var(--c3)}
.line.c4{stroke:var(--c4)}.line.c5{stroke:var(--c5)}.line.c6{stroke:var(--c6)}
.wide{overflow-x:auto;border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;font-size:.88rem;white-space:nowrap}
th,td{padding:.35em .7em;text-align:right;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--card)}
th{background:var(--card)}tr:last-child td{border-bottom:0}
ul{padding-left:1.2em;margin:.4em 0}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2em 1em}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media(max-width:520px){body{padding:10px}dl{grid-template-columns:1fr}dd{margin-bottom:.5em}}
)";

std::string label(const CaseResult& r) {
  std::string text = r.what.layout.name();
  if (r.what.scaling == Scaling::kWeak) text += " weak";
  if (r.what.max_sequences > 0) text += fmt::format(", {} seq.", r.what.max_sequences);
  if (r.what.max_pixels > 0) text += fmt::format(", {} px", r.what.max_pixels);
  return text;
}

std::string number(const std::optional<double>& value, int digits = 2) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "-";
}

Series points_of(const Curve& curve, bool efficiency) {
  Series series{.name = curve.name, .points = {}};
  for (const CaseResult* r : curve.cases) {
    const double ranks = r->what.layout.ranks();
    const double value = efficiency ? r->efficiency : r->items_per_s.median;
    PlotPoint point{.x = ranks, .y = value};
    if (r->items_per_s.median > 0 && r->items_per_s.trials > 1) {
      point.low = value * r->items_per_s.least / r->items_per_s.median;
      point.high = value * r->items_per_s.most / r->items_per_s.median;
    }
    series.points.push_back(point);
  }
  return series;
}

std::string curve_charts(const std::vector<Curve>& curves) {
  if (curves.empty()) return "";
  LineChart rate{.title = "Images per second",
                 .x_label = "ranks",
                 .y_label = "images/s",
                 .series = {},
                 .log_x = true};
  LineChart efficiency{.title = "Efficiency",
                       .x_label = "ranks",
                       .y_label = "of ideal",
                       .series = {},
                       .log_x = true};
  LineChart fit{.title = "Universal scalability law",
                .x_label = "times the baseline's ranks",
                .y_label = "images/s",
                .series = {},
                .log_x = true};
  double most = 1;
  for (const Curve& curve : curves)
    for (const CaseResult* r : curve.cases) most = std::max(most, r->p);
  for (const Curve& curve : curves) {
    rate.series.push_back(points_of(curve, false));
    efficiency.series.push_back(points_of(curve, true));
    if (!curve.fit) continue;
    Series dots{.name = curve.name, .points = {}, .line = false};
    for (const CaseResult* r : curve.cases) dots.points.push_back({r->p, r->items_per_s.median});
    Series law{
        .name = fmt::format("s {:.2f}, k {:.3f}", curve.fit->contention, curve.fit->coherency),
        .points = {},
        .dots = false,
        .dashed = true};
    for (double p = 1; p <= 4 * most; p *= 1.0905) law.points.push_back({p, curve.fit->at(p)});
    dots.colour = law.colour = static_cast<int>(&curve - curves.data());
    fit.series.push_back(dots), fit.series.push_back(law);
  }
  const CaseResult& first = *curves.front().cases.front();
  Series ideal{.name = "ideal", .points = {}, .dots = false, .dashed = true};
  for (const double p : {1.0, most})
    ideal.points.push_back({p * first.what.layout.ranks(), p * first.items_per_s.median});
  rate.series.push_back(ideal);
  return line_chart(rate) + line_chart(efficiency) + line_chart(fit);
}

std::string bars(const Summary& summary) {
  StackedBars breakdown{
      .title = "Where the time goes, % of the makespan", .parts = breakdown_names(), .bars = {}};
  PairedBars model{.title = "Makespan, measured and predicted",
                   .unit = "s",
                   .first = "measured",
                   .second = "predicted",
                   .bars = {}};
  PairedBars communication{.title = "Communication",
                           .unit = "% of makespan",
                           .first = "saved without the wire",
                           .second = "directly",
                           .bars = {}};
  PairedBars feed{.title = "Feeding",
                  .unit = "% of makespan",
                  .first = "saved by preloading",
                  .second = "directly",
                  .bars = {}};
  for (const CaseResult& r : summary.cases) {
    breakdown.bars.push_back({label(r), r.breakdown});
    if (r.predicted_s)
      model.bars.push_back({label(r), r.makespan_s.median, *r.predicted_s,
                            fmt::format("{:+.0f} %", 100 * *r.model_error())});
    const auto both = [&](const TwoWays& ways, PairedBars& chart) {
      if (ways.ablated && ways.direct)
        chart.bars.push_back(
            {label(r), std::max(0.0, 100 * *ways.ablated), 100 * *ways.direct, ""});
    };
    both(r.communication, communication), both(r.feed, feed);
  }
  return stacked_bars(breakdown) + paired_bars(model) + paired_bars(communication) +
         paired_bars(feed);
}

std::string result_table(const Summary& summary) {
  std::vector<std::vector<std::string>> rows = {{"layout",
                                                 "items",
                                                 "seconds",
                                                 "least",
                                                 "most",
                                                 "images/s",
                                                 "per rank",
                                                 "tokens/s per rank",
                                                 "all tokens/s per rank",
                                                 "efficiency",
                                                 "serial",
                                                 "MFU",
                                                 "MBU",
                                                 "comm",
                                                 "comm, clock",
                                                 "late ranks",
                                                 "feed",
                                                 "feed, clock",
                                                 "pictures",
                                                 "tail",
                                                 "load balance",
                                                 "compute / T",
                                                 "J/image",
                                                 "per 1,000",
                                                 "start, s",
                                                 "predicted, s",
                                                 "error"}};
  for (const CaseResult& r : summary.cases)
    rows.push_back({label(r),
                    fmt::format("{}", r.items),
                    number(r.makespan_s.median),
                    number(r.makespan_s.least),
                    number(r.makespan_s.most),
                    number(r.items_per_s.median),
                    number(r.items_per_s.median / r.what.layout.ranks()),
                    number(r.tokens_per_s_per_rank, 1),
                    number(r.all_tokens_per_s_per_rank, 1),
                    number(r.efficiency),
                    number(r.serial, 3),
                    percent(r.mfu),
                    percent(r.mbu),
                    percent(r.communication.ablated),
                    percent(r.communication.direct),
                    percent(r.late),
                    percent(r.feed.ablated),
                    percent(r.feed.direct),
                    percent(r.images),
                    percent(r.tail),
                    number(r.load_balance),
                    number(r.communication_efficiency),
                    number(r.joules_per_item),
                    number(r.cost_per_1000, 4),
                    number(r.start_s),
                    number(r.predicted_s),
                    percent(r.model_error())});
  return html_table(rows);
}

}  // namespace

std::string html_table(const std::vector<std::vector<std::string>>& rows) {
  std::string text = "<div class=\"wide\" tabindex=\"0\"><table>";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    text += "<tr>";
    for (const std::string& cell : rows[i])
      text += fmt::format("<{0}>{1}</{0}>", i == 0 ? "th" : "td", escaped(cell));
    text += "</tr>";
  }
  return text + "</table></div>\n";
}

std::string html_page(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><meta http-equiv=\"Content-Security-Policy\" "
      "content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>{}</title><style>{}</style>"
      "</head>\n<body>\n{}</body></html>\n",
      escaped(title), kStyle, body);
}

std::string html_report(const Study& study, const Summary& summary) {
  const Provenance& about = study.provenance;
  std::string body;
  const auto out = std::back_inserter(body);
  fmt::format_to(out, "<h1>Scaling study: {}</h1>\n<p class=\"soft\">{} · {}</p>\n",
                 escaped(about.title), escaped(about.machine), escaped(about.when));
  for (const std::string& remark : summary.remarks)
    fmt::format_to(out, "<p class=\"note\">{}</p>\n", escaped(remark));
  if (summary.compared > 0 && summary.different == 0)
    fmt::format_to(out, "<p>All {} captions of all layouts are those of the baseline.</p>\n",
                   summary.compared);
  body += "<h2>What limits each layout</h2><ul>";
  for (const CaseResult& r : summary.cases)
    fmt::format_to(out, "<li><b>{}</b>: {:.2f} images/s, efficiency {:.2f}; {}</li>",
                   escaped(label(r)), r.items_per_s.median, r.efficiency, escaped(r.verdict));
  body += "</ul>\n<h2>Pictures of it</h2><div class=\"figures\">";
  body += curve_charts(curves_of(summary)) + bars(summary);
  body += "</div>\n<h2>Figures</h2>\n" + result_table(summary);
  body +=
      "<p class=\"soft\">Seconds: makespan, from everything loaded to the last record durable; "
      "median, least and most of the trials. comm and feed: what a run without the wire, or with "
      "pixels preloaded, saves; beside them what runs say of themselves. tail: loss against the "
      "rate of "
      "the middle eight tenths. compute / T: of the busiest rank. MFU and MBU need a known peak, "
      "J/image a readable meter.</p>\n";
  body += "<h2>Whence</h2><dl>";
  const auto fact = [&](const char* name, const std::string& value) {
    fmt::format_to(out, "<dt>{}</dt><dd>{}</dd>", name, escaped(value));
  };
  fact("command", about.command);
  fact("machine", fmt::format("{}; {} cores for all ranks", about.machine, about.cores));
  fact("config.json", "sha256 " + about.model_sha256);
  if (!study.cells.empty()) {
    const Measurement& m = study.cells.front().measurement;
    fact("build", fmt::format("retinue {} ({}), device {}, {} threads per rank", m.version,
                              m.revision, m.device, m.threads));
    fact("numerics", m.fingerprint);
  }
  fact("runs",
       fmt::format("{} of {}; every one is in study.csv, all of it in study.json and cells/",
                   study.cells.size(), study.planned));
  if (summary.drift)
    fact("drift", fmt::format("the baseline took {:+.1f} % at the end", 100 * *summary.drift));
  body += "</dl>\n";
  return html_page("Scaling study: " + about.title, body);
}

}  // namespace retinue::study

"use strict";
// Foreign text becomes textContent and nothing else, so that it can never act as markup.
const $ = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const svg = (tag, attributes, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  if (text !== undefined) element.textContent = text;
  return element;
};
const whole = (n) => Math.round(n).toLocaleString("en-US");
const brief = (n) => n >= 100 ? whole(n) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
// What rounds to zero has no minus.
const decimal = (n, digits) => n.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1");
const percent = (n) => decimal(100 * n, Math.abs(n) < 0.1 ? 1 : 0) + " %";
const color = (i) => "var(--c" + i % 7 + ")";

// A round step of an axis: 1, 2 or 5 times a power of ten, with at most `parts` steps up to `most`.
function roundStep(most, parts) {
  const rough = most / parts, power = Math.pow(10, Math.floor(Math.log10(rough)));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999999);
}

// Names beside their colours: [{name, color, dashed}].
function legend(entries) {
  return entries.map(({ name, color, dashed }) => {
    const item = make("li"), swatch = make("span", dashed ? "dashed" : "");
    swatch.style[dashed ? "borderColor" : "background"] = color;
    item.append(swatch, document.createTextNode(name));
    return item;
  });
}

// Cells of a .rows grid, three per bar: its name, one track per list of parts, its value.
//   bars  [{name, tracks: [[{share, color, title, text}]], label, value, valueClass}], shares of 1
function barRows(bars) {
  return bars.flatMap((bar) => {
    const tracks = make("div");
    if (bar.label) {
      tracks.setAttribute("role", "img");
      tracks.setAttribute("aria-label", bar.label);
    }
    for (const parts of bar.tracks) {
      const track = make("div", "track");
      for (const { share, color, title, text } of parts) {
        const part = make("div", "", text);
        part.style.width = 100 * share + "%";
        part.style.background = color;
        if (title) part.title = title;
        track.append(part);
      }
      tracks.append(track);
    }
    return [make("span", "", bar.name), tracks, make("span", bar.valueClass || "value", bar.value)];
  });
}

// Curves over axes that begin at y = 0, `width` pixels wide, so that letters have the size of the page's.
//   chart   {label, series, ticks, height, steps, logX}
//   series  [{name, color, points: [{x, y, low, high}], dots, noLine, dashed, under}]; low to high is the range of trials
//   ticks   [{x, text, anchor}] below the x axis; those without room are left out
function plot(width, chart) {
  const height = chart.height || 170, left = 44, bottom = 22, top = 8, right = 6;
  const inset = chart.series.some((series) => series.dots) ? 12 : 0;
  const points = chart.series.flatMap((series) => series.points);
  const at = (x) => chart.logX ? Math.log2(x) : x;
  const highest = Math.max(0, ...points.map((point) => Math.max(point.y, point.high || 0))) || 1;
  const step = roundStep(highest, chart.steps || 4), most = step * Math.ceil(highest / step - 1e-9);
  const first = Math.min(...points.map((point) => at(point.x))), last = Math.max(...points.map((point) => at(point.x)));
  const span = width - left - right - 2 * inset;
  const x = (value) => +(left + inset + (last > first ? span * (at(value) - first) / (last - first) : 0)).toFixed(1);
  const y = (value) => +(height - bottom - (height - bottom - top) * value / most).toFixed(1);
  const drawing = svg("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": chart.label });
  for (let value = 0; value <= most * 1.0001; value += step) {
    drawing.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    drawing.append(svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" },
      value >= 10000 ? +(value / 1000).toPrecision(3) + "k" : String(+value.toPrecision(3))));
  }
  let free = -Infinity;
  for (const tick of points.length ? chart.ticks : []) {
    if (x(tick.x) < free) continue;
    free = x(tick.x) + 28;
    drawing.append(svg("text", { x: x(tick.x), y: height - 6, "text-anchor": tick.anchor || "middle" }, tick.text));
  }
  for (const series of chart.series.filter((one) => one.points.length)) {
    const path = "M" + series.points.map((point) => x(point.x) + " " + y(point.y)).join("L");
    if (series.under) {
      const under = svg("path", { class: "under", d: path + "L" + x(series.points.at(-1).x) + " " + y(0) + "L" +
        x(series.points[0].x) + " " + y(0) + "Z" });
      under.style.fill = series.color;
      drawing.append(under);
    }
    if (!series.noLine) {
      const curve = svg("path", { class: series.dashed ? "curve dashed" : "curve", d: path });
      curve.style.stroke = series.color;
      drawing.append(curve);
    }
    for (const point of series.dots ? series.points : []) {
      if (point.high !== undefined) {
        const range = svg("path", { class: "curve", d: "M" + x(point.x) + " " + y(point.low) + "L" + x(point.x) + " " + y(point.high) });
        range.style.stroke = series.color;
        drawing.append(range);
      }
      const dot = svg("circle", { cx: x(point.x), cy: y(point.y), r: 4 });
      dot.style.fill = series.color;
      dot.append(svg("title", {}, series.name + ": " + brief(point.y)));
      drawing.append(dot);
    }
  }
  return drawing;
}

#pragma once
// What stays the same in every page of report.hpp: its style, and the script that draws curves.

namespace xtape::viz::detail {

// The policy lets the page ask for nothing but a newer version of itself.
inline constexpr const char* page_head = R"page(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline';
 script-src 'unsafe-inline'; connect-src 'self'">
<meta name="viewport" content="width=device-width, initial-scale=1">
)page";

inline constexpr const char* page_style = R"page(<style>
:root { color-scheme: light dark; --ink: #1b1f23; --paper: #fff; --faint: #d0d5da; --quiet: #59636e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --paper: #15181c; --faint: #3b424a; --quiet: #9aa4ae; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
       max-width: 1200px; padding: 0 1rem; }
main { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
h1, h2, p { flex-basis: 100%; margin: 0; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: .5rem; }
figure { margin: 0; max-width: 100%; }
figcaption, caption { font-weight: 600; text-align: left; margin-bottom: .3rem; }
img { max-width: 100%; height: auto; image-rendering: pixelated; }
table { border-collapse: collapse; }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; border-bottom: 1px solid var(--faint); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.plot { position: relative; width: 560px; }
svg { width: 100%; display: block; }
svg text { fill: var(--quiet); font-size: 12px; }
.tip { position: absolute; pointer-events: none; background: var(--paper); border: 1px solid var(--faint); padding: .2rem .5rem;
       font-size: 13px; font-variant-numeric: tabular-nums; white-space: nowrap; display: none; z-index: 1; }
.legend { font-size: 13px; display: flex; flex-wrap: wrap; gap: 0 1rem; }
.legend i { display: inline-block; width: 1.2em; height: 3px; vertical-align: middle; margin-right: .4em; }
</style></head><body><main>
)page";

inline constexpr const char* page_end = R"page(</main>
<script>
"use strict";
// Okabe and Ito's colours, which the colour-blind can tell apart.
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a"];
const width = 560, height = 340, left = 62, right = 12, top_ = 10, bottom = 44;
const text = v => v === 0 ? "0" : Math.abs(v) >= 1e5 || Math.abs(v) < 1e-3 ? v.toExponential(2) : String(+v.toPrecision(5));

function element(name, attributes, parent, content) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) e.setAttribute(key, attributes[key]);
  if (content !== undefined) e.textContent = content;
  return parent.appendChild(e);
}

// From values to pixels, with round values for the ticks.
function axis(values, log, from, to) {
  let low = Math.min(...values), high = Math.max(...values);
  if (!(low <= high)) { low = log ? 1 : 0; high = log ? 10 : 1; }
  if (low === high) { const by = log ? 2 : Math.abs(low) / 2 || 1; low = log ? low / by : low - by; high = log ? high * by : high + by; }
  const f = log ? Math.log10 : v => v, a = f(low), b = f(high), ticks = [];
  if (log) {
    const step = Math.max(1, Math.ceil((b - a) / 6)), digits = b - a < 3 ? [1, 2, 5] : [1];
    for (let e = Math.floor(a); e <= b; e += step)
      for (const d of digits)
        if (d * 10 ** e >= low && d * 10 ** e <= high) ticks.push(+(d * 10 ** e).toPrecision(3));
    if (ticks.length < 2) ticks.splice(0, 2, low, high);
  } else {
    const rough = (b - a) / 5, size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(m => m * size).find(s => s >= rough * 0.999);
    for (let k = Math.ceil(a / step - 1e-9); k * step <= b + step * 1e-9; ++k) ticks.push(+(k * step).toPrecision(12));
  }
  return {at: v => from + (f(v) - a) / (b - a) * (to - from), ticks};
}

function draw(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const shown = (s, i) => s.x[i] !== null && s.y[i] !== null && (!data.logX || s.x[i] > 0) && (!data.logY || s.y[i] > 0);
  const xs = [], ys = [];
  for (const s of data.series)
    s.x.forEach((x, i) => {
      if (!shown(s, i)) return;
      xs.push(x); ys.push(s.y[i]);
      for (const bar of s.error.length && s.error[i] !== null ? [s.y[i] - s.error[i], s.y[i] + s.error[i]] : [])
        if (!data.logY || bar > 0) ys.push(bar);
    });
  const x = axis(xs, data.logX, left, width - right), y = axis(ys, data.logY, height - bottom, top_);
  const svg = element("svg", {viewBox: `0 0 ${width} ${height}`, role: "img"}, figure);
  for (const t of x.ticks) {
    element("line", {x1: x.at(t), x2: x.at(t), y1: top_, y2: height - bottom, stroke: "var(--faint)"}, svg);
    element("text", {x: x.at(t), y: height - bottom + 16, "text-anchor": "middle"}, svg, text(t));
  }
  for (const t of y.ticks) {
    element("line", {x1: left, x2: width - right, y1: y.at(t), y2: y.at(t), stroke: "var(--faint)"}, svg);
    element("text", {x: left - 6, y: y.at(t) + 4, "text-anchor": "end"}, svg, text(t));
  }
  element("text", {x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle"}, svg, data.xLabel);
  element("text", {x: 14, y: (top_ + height - bottom) / 2, "text-anchor": "middle",
                   transform: `rotate(-90 14 ${(top_ + height - bottom) / 2})`}, svg, data.yLabel);
  const legend = document.createElement("div");
  legend.className = "legend";
  data.series.forEach((s, n) => {
    const colour = colours[n % colours.length];
    let path = "", open = false, points = 0;
    s.x.forEach((v, i) => {
      if (!shown(s, i)) { open = false; return; }
      path += `${open ? "L" : "M"}${x.at(v).toFixed(2)} ${y.at(s.y[i]).toFixed(2)}`;
      open = true;
      ++points;
      if (s.error.length && s.error[i] !== null) {
        const end = e => y.at(data.logY && !(e > 0) ? Math.min(...ys) : e);
        element("line", {x1: x.at(v), x2: x.at(v), y1: end(s.y[i] - s.error[i]), y2: end(s.y[i] + s.error[i]), stroke: colour}, svg);
      }
    });
    if (s.points || points === 1)
      s.x.forEach((v, i) => shown(s, i) && element("circle", {cx: x.at(v), cy: y.at(s.y[i]), r: 3, fill: colour}, svg));
    if (!s.points)
      element("path", {d: path, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": s.dashed ? "6 4" : "none"}, svg);
    if (s.label === "") return;
    const entry = legend.appendChild(document.createElement("span"));
    entry.appendChild(document.createElement("i")).style.background = colour;
    entry.append(s.label);
  });
  figure.append(legend);

  // The values where the pointer is: at the nearest x that any curve has.
  const line = element("line", {y1: top_, y2: height - bottom, stroke: "var(--quiet)", visibility: "hidden"}, svg);
  const tip = document.createElement("div");
  tip.className = "tip";
  figure.append(tip);
  const places = [...new Set(xs)];
  svg.addEventListener("pointermove", event => {
    if (places.length === 0) return;
    const box = svg.getBoundingClientRect(), pointer = (event.clientX - box.left) / box.width * width;
    const at = places.reduce((best, v) => Math.abs(x.at(v) - pointer) < Math.abs(x.at(best) - pointer) ? v : best);
    line.setAttribute("x1", x.at(at));
    line.setAttribute("x2", x.at(at));
    line.setAttribute("visibility", "visible");
    tip.replaceChildren();
    const say = (what, colour) => {
      const row = tip.appendChild(document.createElement("div"));
      row.textContent = what;
      if (colour) row.style.color = colour;
    };
    say(`${data.xLabel || "x"} ${text(at)}`);
    data.series.forEach((s, n) => {
      const i = s.x.findIndex((v, k) => v === at && shown(s, k));
      if (i >= 0) say(`${s.label || data.yLabel || "y"} ${text(s.y[i])}` +
                      (s.error.length && s.error[i] !== null ? ` ± ${text(s.error[i])}` : ""), colours[n % colours.length]);
    });
    tip.style.display = "block";
    const place = x.at(at) / width * box.width, before = place > box.width / 2;
    tip.style.left = before ? "" : `${place + 12}px`;
    tip.style.right = before ? `${box.width - place + 12}px` : "";
    tip.style.top = `${figure.querySelector("figcaption").offsetHeight + 20}px`;
  });
  svg.addEventListener("pointerleave", () => { tip.style.display = "none"; line.setAttribute("visibility", "hidden"); });
}

const draw_all = () => document.querySelectorAll(".plot").forEach(draw);
draw_all();

// Served, the page follows the run.
if (location.protocol.startsWith("http")) {
  let last = null;
  const look = async () => {
    try {
      const page = await (await fetch(location.href, {cache: "no-store"})).text();
      if (last !== null && page !== last) {
        document.querySelector("main").replaceWith(new DOMParser().parseFromString(page, "text/html").querySelector("main"));
        draw_all();
      }
      last = page;
    } catch (error) { /* the run has ended: what is shown stays */ }
    setTimeout(look, 2000);
  };
  look();
}
</script></body></html>
)page";

}  // namespace xtape::viz::detail

// Draws one plot as SVG: axes, lines and marks merged by look, so that a thousand runs are a few dozen elements; the law.
import { short, svg } from "./formats.js";
import { fitOf } from "./law.js";
import { page } from "./runs.js";
import { isAlong, labelOf, seriesOf } from "./series.js";
import { scale } from "./scales.js";

const dashes = patch => ({ 2: "none", 4: "7 3", 8: "2 3" })[patch] ?? (patch ? "9 3 2 3" : "none");

export function markPath(patch, x, y, r) {
  if (patch === 8) return `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`;
  if (patch === 4) return `M${x},${y - 1.25 * r}L${x + 1.2 * r},${y + r}H${x - 1.2 * r}z`;
  if (patch === 2 || !patch) return `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`;
  return `M${x},${y - 1.4 * r}L${x + 1.4 * r},${y}L${x},${y + 1.4 * r}L${x - 1.4 * r},${y}z`;
}

// view: {key, x, logX, logY, smooth, mean, zoom}. The holder keeps what pointing at it needs: scales and points.
export function draw(holder, view) {
  const width = Math.max(280, holder.clientWidth), wide = width > 620;
  const height = Math.round(wide ? Math.min(470, width * 0.5) : Math.max(250, width * 0.74));
  const box = { left: 58, right: width - 12, top: 28, bottom: height - 42 };
  const series = seriesOf(view), law = isAlong(view) ? null : fitOf(view.key, view.x, view.logY);
  const [x, y] = ranges(view, series, law);
  const X = scale(...x, view.logX, box.left, box.right, wide ? 9 : 4), Y = scale(...y, view.logY, box.bottom, box.top, 6);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }), clip = `clip-${holder.id}`;
  svg("rect", { x: box.left, y: box.top - 6, width: box.right - box.left + 6, height: box.bottom - box.top + 6 },
    svg("clipPath", { id: clip }, svg("defs", {}, picture)));
  axes(picture, view, X, Y, box);
  const ground = svg("g", { "clip-path": `url(#${clip})`, class: "ground" }, picture);
  if (law?.fit) band(ground, law.fit, X, Y, x);
  all(ground, series, X, Y);
  svg("g", { "clip-path": `url(#${clip})`, class: "above" }, picture);
  svg("circle", { r: 9, class: "cursor", visibility: "hidden" }, picture);
  svg("rect", { class: "lasso", visibility: "hidden" }, picture);
  if (!series.length) svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, picture).textContent = "nothing to draw yet";
  holder.replaceChildren(picture);
  Object.assign(holder, { view, series, law, X, Y, box, points: placed(series, X, Y, box), picked: -1 });
}

// The ends of both axes: those zoomed to, or of what is drawn; of a loss, whose start is ten times higher, of its later part.
function ranges(view, series, law) {
  if (view.zoom) return [view.zoom.x, view.zoom.y];
  const x = ends(series.flatMap(s => [s.x[0], s.x.at(-1)]).concat(law?.fit ? law.fit.ends : []), view.logX);
  const late = view.x === "step" && !view.logY && view.key === "train/loss" ? 0.1 * x[1] : -Infinity;
  const found = [Infinity, -Infinity];
  for (const s of series) s.y.forEach((v, i) => {
    if (s.x[i] >= late && (!view.logY || v > 0)) { found[0] = Math.min(found[0], v); found[1] = Math.max(found[1], v); }
  });
  let [low, high] = ends(found, view.logY);
  const room = view.logY ? (high / low) ** 0.06 : (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
  [low, high] = view.logY ? [low / room, high * room] : [low - room, high + room];
  const edge = view.logX ? Math.max((x[1] / x[0]) ** 0.03, 1.02) : 0;
  return [view.logX ? [x[0] / edge, x[1] * edge] : [Math.min(x[0], 0), x[1] * 1.02], [low, high]];
}
function ends(values, log) {
  const good = values.filter(v => Number.isFinite(v) && (!log || v > 0));
  return good.length ? [good.reduce((a, b) => Math.min(a, b)), good.reduce((a, b) => Math.max(a, b))] : [log ? 0.1 : 0, 1];
}

function axes(picture, view, X, Y, box) {
  let last = -Infinity;
  for (const [value, label] of X.ticks) {
    const x = X.at(value);
    if (x < box.left - 1 || x > box.right + 1) continue;
    svg("line", { class: "gridline", x1: x, x2: x, y1: box.top, y2: box.bottom }, picture);
    const half = 3.5 * label.length;
    if (x - last < 2 * half + 8 || x + half > box.right + 10) continue;
    svg("text", { x, y: box.bottom + 17, "text-anchor": "middle" }, picture).textContent = label;
    last = x;
  }
  last = Infinity;
  for (const [value, label] of Y.ticks) {
    const y = Y.at(value);
    if (y < box.top - 1 || y > box.bottom + 1) continue;
    svg("line", { class: "gridline", x1: box.left, x2: box.right, y1: y, y2: y }, picture);
    if (Math.abs(last - y) < 15) continue;
    svg("text", { x: box.left - 8, y: y + 4, "text-anchor": "end" }, picture).textContent = label;
    last = y;
  }
  svg("path", { class: "frame", d: `M${box.left},${box.top}V${box.bottom}H${box.right}` }, picture);
  const below = { class: "axis", x: (box.left + box.right) / 2, y: box.bottom + 36, "text-anchor": "middle" };
  fitText(svg("text", below, picture), page.axes[view.x].label, box.right - 4);
  fitText(svg("text", { class: "axis", x: 2, y: 11 }, picture), labelOf(view) + (view.smooth ? ", smoothed" : ""), box.right - 4);
}
function fitText(element, text, room) {      // 6.3 px a letter at 12.5 px; the whole label stays readable for a screen reader
  const most = Math.floor(room / 6.3);
  element.textContent = text.length <= most ? text : text.replace(/ \([^()]*\)(, smoothed)?$/, "$1").slice(0, most);
  svg("title", {}, element).textContent = text;
}

function band(ground, fit, X, Y, [low, high]) {
  const from = Math.max(low, fit.ends[0] / 1.25), to = Math.min(high, fit.ends[1] * 1.25);
  const xs = Array.from({ length: 41 }, (_, i) => from * (to / from) ** (i / 40)), values = xs.map(fit.band);
  const far = v => Math.max(-1e4, Math.min(1e4, v));
  const along = k => xs.map((x, i) => `${X.at(x).toFixed(1)},${far(Y.at(values[i][k])).toFixed(1)}`);
  if (values.every(v => v.every(Number.isFinite))) svg("path", { class: "band", d: `M${along(1).join("L")}L${along(2).reverse().join("L")}z` }, ground);
  svg("path", { class: "fit", d: `M${along(0).join("L")}` }, ground);
}

export function pathOf(series, X, Y) {
  let d = "", pen = "M";
  for (let i = 0; i < series.x.length; i++) {
    const x = X.at(series.x[i]), y = Y.at(series.y[i]);
    if (!Number.isFinite(x) || !Number.isFinite(y)) { pen = "M"; continue; }
    d += `${pen}${x.toFixed(1)},${Math.max(-9999, Math.min(9999, y)).toFixed(1)}`; pen = "L";
  }
  return d;
}

function all(ground, series, X, Y) {
  const lines = new Map(), marks = new Map(), few = series.reduce((n, s) => n + s.x.length, 0) <= 1500;
  const add = (to, s, d) => { const look = `${s.colour}|${s.patch}`; to.set(look, (to.get(look) ?? "") + d); };
  for (const s of series) {
    if (s.line && s.x.length > 1) add(lines, s, pathOf(s, X, Y));
    if (!s.line || s.x.length === 1 || (few && s.x.length <= 30)) add(marks, s, marksOf(s, X, Y, series.length));
  }
  for (const [look, d] of lines) {
    const [colour, patch] = look.split("|");
    svg("path", { class: "curve", d, stroke: colour, "stroke-dasharray": dashes(Number(patch)) }, ground);
  }
  for (const [look, d] of marks) svg("path", { class: "mark", d, fill: look.split("|")[0] }, ground);
}

export function marksOf(s, X, Y, many) {
  const r = s.line ? 3.2 : many > 200 ? 3.5 : 5.5;
  const at = s.x.map((x, i) => [X.at(x), Y.at(s.y[i])]).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  return at.map(([x, y]) => markPath(s.patch, Number(x.toFixed(1)), Number(y.toFixed(1)), r)).join("");
}

// Every point in the frame in typed arrays: a thousand curves have a hundred thousand.
function placed(series, X, Y, box) {
  const count = series.reduce((n, s) => n + s.x.length, 0);
  const found = { x: new Float32Array(count), y: new Float32Array(count), of: new Int32Array(count), i: new Int32Array(count), count: 0 };
  series.forEach((s, of) => s.x.forEach((value, i) => {
    const x = X.at(value), y = Y.at(s.y[i]), n = found.count;
    if (!(x >= box.left - 8 && x <= box.right + 8 && y >= box.top - 8 && y <= box.bottom + 8)) return;
    found.x[n] = x; found.y[n] = y; found.of[n] = of; found.i[n] = i; found.count++;
  }));
  return found;
}

export function textOf(holder, n) {
  const series = holder.series[holder.points.of[n]], i = holder.points.i[n];
  const at = holder.view.x === "step" ? "" : ` · ${page.axes[holder.view.x].short} ${short(series.x[i])}`;
  const title = series.run.model + (series.runs.length === 1 && series.run.seed !== undefined ? ` seed ${series.run.seed}` : "");
  return [`${title}   ${short(series.y[i])}`, `${series.told} · step ${series.steps[i].toLocaleString("en")}${at}`];
}

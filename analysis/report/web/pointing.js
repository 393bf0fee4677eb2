// Pointer, touch and keys on a plot: the run behind a point, zoom by dragging, and the run's page by a click.
import { element, svg } from "./formats.js";
import { draw, marksOf, pathOf, textOf } from "./plot.js";

const tip = document.getElementById("tip");
const holders = () => [...document.querySelectorAll(".plot")];

export function pick(holder, n) {
  if (n < 0 || n >= holder.points.count) return clear(holder);
  const { x, y, of } = holder.points, cursor = holder.querySelector(".cursor"), [title, text] = textOf(holder, n);
  holder.picked = n;
  cursor.setAttribute("cx", x[n]); cursor.setAttribute("cy", y[n]); cursor.setAttribute("visibility", "visible");
  tip.replaceChildren(element("b", {}, title), text);
  tip.hidden = false;
  const frame = holder.getBoundingClientRect(), px = frame.left + x[n], py = frame.top + y[n], w = tip.offsetWidth, h = tip.offsetHeight;
  tip.style.left = `${Math.min(Math.max(8, px - w / 2), document.documentElement.clientWidth - w - 8)}px`;
  tip.style.top = `${py - h - 16 < 8 ? py + 18 : py - h - 16}px`;
  emphasise(holder.series[of[n]].runs.map(run => run.id));
}

export function clear(holder) {
  tip.hidden = true;
  holder.querySelector(".cursor")?.setAttribute("visibility", "hidden");
  emphasise(null);
}

// The same runs stand out in every plot.
function emphasise(ids) {
  for (const holder of holders().filter(one => one.series)) {
    const above = holder.querySelector(".above");
    above?.replaceChildren();
    holder.querySelector(".ground")?.classList.toggle("dim", ids !== null);
    for (const s of ids ? holder.series.filter(one => one.runs.some(run => ids.includes(run.id))) : []) {
      if (s.line) svg("path", { class: "curve strong", d: pathOf(s, holder.X, holder.Y), stroke: s.colour }, above);
      else svg("path", { class: "mark", d: marksOf(s, holder.X, holder.Y, holder.series.length), fill: s.colour }, above);
    }
  }
}

function nearest(holder, x, y) {
  const { x: xs, y: ys, count } = holder.points;
  let best = -1, least = 40 ** 2;
  for (let n = 0; n < count; n++) { const d = (xs[n] - x) ** 2 + (ys[n] - y) ** 2; if (d < least) { least = d; best = n; } }
  return best;
}

export function listen(holder, redrawn) {
  let from = null, opening = null;          // a click opens the run once it cannot be the first of two any more
  const at = event => { const frame = holder.getBoundingClientRect(); return [event.clientX - frame.left, event.clientY - frame.top]; };
  holder.addEventListener("pointerdown", event => {
    clearTimeout(opening);
    if (event.button === 0) from = at(event);
    if (event.pointerType === "mouse") holder.setPointerCapture(event.pointerId);   // a drag may end beside the plot
    pick(holder, nearest(holder, ...at(event)));
  });
  holder.addEventListener("pointermove", event => {
    const to = at(event);
    if (from && event.buttons && isDrag(from, to)) { clear(holder); lasso(holder, from, to, event.pointerType === "touch"); return; }
    pick(holder, nearest(holder, ...to));
  });
  holder.addEventListener("pointerup", event => {
    const start = from, to = at(event);
    from = null;
    if (!start) return;
    if (isDrag(start, to)) { zoom(holder, start, to, event.pointerType === "touch"); redrawn(); }
    else if (event.pointerType === "mouse") opening = setTimeout(() => open(holder, nearest(holder, ...to)), 250);
  });
  holder.addEventListener("pointercancel", () => { from = null; draw(holder, holder.view); });
  holder.addEventListener("pointerleave", () => clear(holder));
  holder.addEventListener("dblclick", () => { clearTimeout(opening); holder.view.zoom = null; draw(holder, holder.view); redrawn(); });
  holder.addEventListener("blur", () => clear(holder));
  holder.addEventListener("keydown", event => keys(holder, event, redrawn));
}

const isDrag = (a, b) => Math.abs(a[0] - b[0]) > 12;

function open(holder, n) {
  if (n >= 0) location.hash = `run=${encodeURIComponent(holder.series[holder.points.of[n]].run.id)}`;
}

function corners(holder, a, b, wholeHeight) {
  const { box } = holder, within = (v, low, high) => Math.min(high, Math.max(low, v));
  const flat = wholeHeight || Math.abs(a[1] - b[1]) < 12;       // a flat drag zooms into x alone
  const ys = flat ? [box.top, box.bottom] : [a[1], b[1]].map(v => within(v, box.top, box.bottom)).sort((p, q) => p - q);
  const xs = [a[0], b[0]].map(v => within(v, box.left, box.right)).sort((p, q) => p - q);
  return { xs, ys };
}
function lasso(holder, a, b, wholeHeight) {
  const { xs, ys } = corners(holder, a, b, wholeHeight), frame = holder.querySelector(".lasso");
  const size = { x: xs[0], y: ys[0], width: xs[1] - xs[0], height: ys[1] - ys[0], visibility: "visible" };
  for (const key in size) frame.setAttribute(key, size[key]);
}
function zoom(holder, a, b, wholeHeight) {
  const { xs, ys } = corners(holder, a, b, wholeHeight), { X, Y } = holder;
  if (xs[1] - xs[0] > 4) holder.view.zoom = { x: xs.map(X.back), y: [Y.back(ys[1]), Y.back(ys[0])] };
  draw(holder, holder.view);
}

function keys(holder, event, redrawn) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], count = holder.points.count;
  if (event.key === "Escape") { clear(holder); if (holder.view.zoom) { holder.view.zoom = null; draw(holder, holder.view); redrawn(); } }
  if (event.key === "Enter") open(holder, holder.picked);
  if (event.key === "+" && holder.picked >= 0) {
    const { left, right, top, bottom } = holder.box, x = holder.points.x[holder.picked], quarter = (right - left) / 4;
    zoom(holder, [x - quarter, top], [x + quarter, bottom], true);
    redrawn();
  }
  if (!by || !count) return;
  event.preventDefault();
  pick(holder, (holder.picked + by + count) % count);
}

// Plots, legend, and sortable tables of the report. Data are in #data; every text reaches the page as text, never as HTML.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip");
  const hidden = new Set();      // "size:XL" and "patch:8" that the legend has switched off
  const SVG = "http://www.w3.org/2000/svg";

  const make = (name, attributes = {}, parent = null) => {
    const element = document.createElementNS(SVG, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (parent) parent.appendChild(element);
    return element;
  };
  const colour = size => `var(--s${Math.max(0, data.sizes.indexOf(size))})`;
  const dashes = patch => ({ 2: "none", 4: "7 3", 8: "2 3" })[patch] || "9 3 2 3";
  const short = value => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
    return String(Number(value.toPrecision(4)));
  };

  function markPath(patch, x, y, r) {
    if (patch === 8) return `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`;
    if (patch === 4) return `M${x},${y - 1.25 * r}L${x + 1.2 * r},${y + r}H${x - 1.2 * r}z`;
    if (patch === 2) return `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`;
    return `M${x},${y - 1.4 * r}L${x + 1.4 * r},${y}L${x},${y + 1.4 * r}L${x - 1.4 * r},${y}z`;
  }

  // A scale maps a value to pixels and knows where its ticks are.
  function scale(low, high, log, from, to, room) {
    const f = log ? Math.log10 : value => value;
    let a = f(low), b = f(high);
    if (!(b > a)) { a -= log ? 0.3 : Math.abs(a) * 0.1 + 1e-9; b += log ? 0.3 : Math.abs(b) * 0.1 + 1e-9; }
    const at = value => from + (f(value) - a) / (b - a) * (to - from);
    const ticks = log ? logTicks(a, b, room) : linearTicks(a, b, room);
    return { at, ticks };
  }
  function linearTicks(a, b, room) {
    const raw = (b - a) / Math.max(2, room), power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw);
    const found = [];
    for (let k = Math.ceil(a / step - 1e-9); k * step <= b * (1 + 1e-12) + 1e-15; k++) found.push(k * step);
    return found.map(v => [v, short(Number(v.toPrecision(10)))]);
  }
  function logTicks(a, b, room) {
    const decades = b - a, steps = decades > room ? [1] : decades > room / 2 ? [1, 3] : decades > 0.9 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
    const every = Math.max(1, Math.ceil(decades / room)), found = [];
    for (let k = Math.floor(a); k <= Math.ceil(b); k++)
      for (const s of k % every === 0 ? steps : []) {
        const value = s * 10 ** k, where = Math.log10(value);
        if (where >= a - 1e-9 && where <= b + 1e-9) found.push([value, logLabel(value)]);
      }
    return found;
  }
  const superscript = n => String(n).replace(/./g, c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);
  function logLabel(value) {
    if (value >= 0.001 && value < 1e5) return short(Number(value.toPrecision(3)));
    const k = Math.floor(Math.log10(value) + 1e-9), m = Number((value / 10 ** k).toPrecision(2));
    return (m === 1 ? "10" : `${m}·10`) + superscript(k);
  }

  const wanted = series => !hidden.has(`size:${series.size}`) && !hidden.has(`patch:${series.patch}`);

  // plot: {x: {label, log}, y: {label, log, focus}, series: [{model, size, patch, line, x, y, facts, best?, edge?}], band: {x, mean, low, high}}
  function draw(holder) {
    const plot = data.plots[Number(holder.dataset.plot)];
    const width = Math.max(280, holder.clientWidth), wide = width > 620;
    const height = Math.round(wide ? Math.min(470, width * 0.5) : Math.max(250, width * 0.74));
    const box = { left: 58, right: width - 12, top: 28, bottom: height - 42 };
    const shown = plot.series.filter(wanted);
    const every = shown.length ? shown : plot.series;
    const spread = (key, also) => {
      let values = every.flatMap(s => s[key]).concat(also);
      values = values.filter(v => Number.isFinite(v) && (!plot[key].log || v > 0));
      return [Math.min(...cut(values, Math.min)), Math.max(...cut(values, Math.max))];
    };
    const [x0, x1] = spread("x", plot.band ? plot.band.x : []);
    let [y0, y1] = plot.y.focus || spread("y", plot.band ? plot.band.mean : []);
    const room = plot.y.log ? (y1 / y0) ** 0.06 : (y1 - y0) * 0.06;
    [y0, y1] = plot.y.log ? [y0 / room, y1 * room] : [y0 - room, y1 + room];
    const xEdge = plot.x.log ? (x1 / x0) ** 0.03 : 0;
    const X = scale(plot.x.log ? x0 / xEdge : Math.min(x0, 0), plot.x.log ? x1 * xEdge : x1 * 1.02, plot.x.log, box.left, box.right, wide ? 9 : 4);
    const Y = scale(y0, y1, plot.y.log, box.bottom, box.top, 6);

    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    const clip = `clip-${holder.id}`;
    make("rect", { x: box.left, y: box.top - 6, width: box.right - box.left + 6, height: box.bottom - box.top + 6 }, make("clipPath", { id: clip }, make("defs", {}, svg)));
    axes(svg, plot, X, Y, box);
    const ground = make("g", { "clip-path": `url(#${clip})` }, svg);
    if (plot.band) band(ground, plot.band, X, Y);
    const points = [];
    for (const series of shown) one(ground, series, X, Y, box, points, plot);
    make("circle", { r: 9, class: "cursor", visibility: "hidden" }, svg);
    holder.replaceChildren(svg);
    holder.points = points;
    holder.picked = -1;
  }
  const cut = (values, pick) => {       // Math.min(...) takes some ten thousand arguments at most
    const found = [];
    for (let i = 0; i < values.length; i += 5000) found.push(pick(...values.slice(i, i + 5000)));
    return found;
  };

  function axes(svg, plot, X, Y, box) {
    let last = -Infinity;
    for (const [value, label] of X.ticks) {
      const x = X.at(value);
      if (x < box.left - 1 || x > box.right + 1) continue;
      make("line", { class: "gridline", x1: x, x2: x, y1: box.top, y2: box.bottom }, svg);
      if (x - last < 7 * label.length + 8) continue;
      make("text", { x, y: box.bottom + 17, "text-anchor": "middle" }, svg).textContent = label;
      last = x;
    }
    last = Infinity;
    for (const [value, label] of Y.ticks) {
      const y = Y.at(value);
      if (y < box.top - 1 || y > box.bottom + 1) continue;
      make("line", { class: "gridline", x1: box.left, x2: box.right, y1: y, y2: y }, svg);
      if (Math.abs(last - y) < 15) continue;
      make("text", { x: box.left - 8, y: y + 4, "text-anchor": "end" }, svg).textContent = label;
      last = y;
    }
    make("path", { class: "frame", d: `M${box.left},${box.top}V${box.bottom}H${box.right}` }, svg);
    fitText(make("text", { class: "axis", x: (box.left + box.right) / 2, y: box.bottom + 36, "text-anchor": "middle" }, svg), plot.x.label, box.right - 4);
    fitText(make("text", { class: "axis", x: 2, y: 11 }, svg), plot.y.label, box.right - 4);
  }
  function fitText(element, text, room) {      // 6.3 px a letter at 12.5 px; the whole label stays readable for a screen reader
    const most = Math.floor(room / 6.3);
    element.textContent = text.length <= most ? text : text.replace(/ \([^()]*\)\s*$/, "").slice(0, most);
    make("title", {}, element).textContent = text;
  }
  function band(ground, b, X, Y) {
    const line = ys => b.x.map((x, i) => `${X.at(x).toFixed(1)},${Y.at(ys[i]).toFixed(1)}`);
    make("path", { class: "band", d: `M${line(b.low).join("L")}L${line(b.high).reverse().join("L")}z` }, ground);
    make("path", { class: "fit", d: `M${line(b.mean).join("L")}` }, ground);
  }
  function one(ground, series, X, Y, box, points, plot) {
    const group = make("g", { "data-model": series.model }, ground);
    const at = series.x.map((x, i) => [X.at(x), Y.at(series.y[i])]);
    const good = at.map(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
    if (series.line && at.length > 1) {
      const d = at.filter((_, i) => good[i]).map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");
      make("path", { class: "curve", d: `M${d}`, stroke: colour(series.size), "stroke-dasharray": dashes(series.patch) }, group);
    }
    const marks = !series.line || at.length <= 30;
    const r = series.line ? 3.2 : plot.series.length > 200 ? 3.5 : 5.5;
    at.forEach(([x, y], i) => {
      if (!good[i]) return;
      if (marks) make("path", { class: "mark", d: markPath(series.patch, x, y, r), fill: colour(series.size) }, group);
      if (i === series.best) make("circle", { class: series.edge ? "chosen edge" : "chosen", cx: x, cy: y, r: 8 }, group);
      if (y >= box.top - 8 && y <= box.bottom + 8) points.push({ x, y, series, i, plot });
    });
  }

  // Hover, touch and keyboard all end here.
  function pick(holder, index, client) {
    const point = holder.points[index], cursor = holder.querySelector(".cursor");
    if (!point) { clear(holder); return; }
    holder.picked = index;
    cursor.setAttribute("cx", point.x); cursor.setAttribute("cy", point.y); cursor.setAttribute("visibility", "visible");
    const { series, i, plot } = point;
    tip.replaceChildren();
    const title = document.createElement("b");
    title.textContent = `${series.model}   ${short(series.y[i])}`;
    tip.append(title, document.createTextNode(`${series.facts[i]} · x = ${short(series.x[i])}`));
    tip.hidden = false;
    const frame = holder.getBoundingClientRect(), ratio = frame.width / Math.max(280, holder.clientWidth);
    const px = frame.left + point.x * ratio, py = frame.top + point.y * ratio;
    const w = tip.offsetWidth, h = tip.offsetHeight;
    tip.style.left = `${Math.min(Math.max(8, px - w / 2), document.documentElement.clientWidth - w - 8)}px`;
    tip.style.top = `${py - h - 16 < 8 ? py + 18 : py - h - 16}px`;
    emphasise(series.model);
  }
  function clear(holder) {
    tip.hidden = true;
    const cursor = holder.querySelector(".cursor");
    if (cursor) cursor.setAttribute("visibility", "hidden");
    emphasise(null);
  }
  function emphasise(model) {
    for (const group of document.querySelectorAll(".plot g[data-model]")) group.classList.toggle("dim", model !== null && group.dataset.model !== model);
  }
  function nearest(holder, x, y) {
    let best = -1, least = 40 ** 2;
    holder.points.forEach((p, i) => { const d = (p.x - x) ** 2 + (p.y - y) ** 2; if (d < least) { least = d; best = i; } });
    return best;
  }
  function listen(holder) {
    const plot = data.plots[Number(holder.dataset.plot)];
    holder.tabIndex = 0;
    holder.setAttribute("role", "application");
    holder.setAttribute("aria-label", `${plot.title}: ${plot.y.label} over ${plot.x.label}, ${plot.series.length} series. Arrow keys go through the points.`);
    const move = event => {
      const frame = holder.getBoundingClientRect();
      pick(holder, nearest(holder, event.clientX - frame.left, event.clientY - frame.top));
    };
    holder.addEventListener("pointermove", move);
    holder.addEventListener("pointerdown", move);
    holder.addEventListener("pointerleave", () => clear(holder));
    holder.addEventListener("blur", () => clear(holder));
    holder.addEventListener("keydown", event => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") clear(holder);
      if (!by || !holder.points.length) return;
      event.preventDefault();
      pick(holder, (holder.picked + by + holder.points.length) % holder.points.length);
    });
  }

  function legend(holders) {
    const place = document.getElementById("legend");
    if (!place) return;
    const used = new Set(data.plots.flatMap(p => p.series.map(s => s.size)));
    const sizes = data.sizes.filter(size => used.has(size)), step = Math.max(1, Math.ceil(sizes.length / 8));
    const patches = [...new Set(data.plots.flatMap(p => p.series.map(s => s.patch)))].sort((a, b) => b - a);
    const entries = sizes.filter((_, i) => i % step === 0).map(size => [`size:${size}`, size, colour(size), 2]).concat(patches.map(p => [`patch:${p}`, `patch ${p}`, "var(--faint)", p]));
    for (const [key, label, fill, patch] of entries) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      make("path", { d: markPath(patch, 8, 8, 5), fill }, button.appendChild(make("svg", { width: 16, height: 16, "aria-hidden": "true" })));
      button.append(document.createTextNode(label));
      button.addEventListener("click", () => {
        hidden.has(key) ? hidden.delete(key) : hidden.add(key);
        button.setAttribute("aria-pressed", String(!hidden.has(key)));
        holders.forEach(draw);
      });
      place.append(button);
    }
  }

  function sortable(table) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => { const cell = row.cells[column]; return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v); };
      const empty = value => value === "";
      const order = (a, b) => empty(a) || empty(b) ? empty(a) - empty(b) : (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true })) * (down ? -1 : 1);
      body.append(...[...body.rows].map(row => [key(row), row]).sort((a, b) => order(a[0], b[0])).map(pair => pair[1]));
    }));
  }
  function filterable() {
    const box = document.getElementById("filter"), table = document.getElementById("runs-table");
    if (!box || !table) return;
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every(word => text.includes(word));
      }
    });
  }

  const holders = [...document.querySelectorAll(".plot")];
  holders.forEach(holder => { draw(holder); listen(holder); });
  legend(holders);
  document.querySelectorAll("table.sortable").forEach(sortable);
  filterable();
  for (const link of document.querySelectorAll("nav a")) if (!document.querySelector(link.hash)) link.remove();
  let width = window.innerWidth;
  window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; holders.forEach(draw); } });
  window.addEventListener("beforeprint", () => { document.querySelectorAll("details").forEach(d => { d.open = true; }); holders.forEach(draw); });
  window.addEventListener("afterprint", () => holders.forEach(draw));
})();

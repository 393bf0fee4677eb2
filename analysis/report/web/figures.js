// The figures of the page: a plot each with what chooses its axes, smoothing, seeds and CSV.
import { cell, element, withInterval, short } from "./formats.js";
import { bring } from "./live.js";
import { draw } from "./plot.js";
import { listen } from "./pointing.js";
import { page } from "./runs.js";
import { csvOf, isAlong, labelOf } from "./series.js";

const SMOOTH = [0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];   // time constants, as shares of the longest run

export function figures() {
  const place = document.getElementById("figures");
  if (!place) return [];
  return page.views.map(view => {
    const heading = element("h3"), said = element("p"), holder = element("div", { class: "plot", id: `plot-${view.id}`, tabindex: "0", role: "application" });
    const tools = element("details", { class: "tools" });
    const figure = { view, holder, heading, said, tools, draw: () => {
      const waits = bring(view.key, () => figure.draw());
      head(figure); draw(holder, view); tell(figure);
      if (waits) said.textContent = "Reading the curves of this …";
    } };
    place.append(element("figure", {}, element("figcaption", {}, heading, said), tools, holder));
    choices(figure);
    listen(holder, () => { whole(figure); });
    return figure;
  });
}

function head({ view, heading, holder }) {
  const what = labelOf(view).split(",")[0].split(" (")[0], title = `${what[0].toUpperCase()}${what.slice(1)} against ${page.axes[view.x].title}`;
  heading.textContent = title;
  holder.setAttribute("aria-label", `${title}. Arrow keys go through the points, + zooms, Escape goes back, Enter opens the run.`);
}

// Below a law's plot: what was fitted to the runs shown; below curves: what a line is.
function tell({ view, said, holder }) {
  if (isAlong(view)) { said.textContent = view.mean ? "Each line is a model, the mean of its seeds." : "Each line is a run."; return; }
  const { fit, models, runs, others } = holder.law, out = others ? `; ${cell(others)} runs of other families or recipes are drawn and not fitted` : "";
  if (!fit) { said.textContent = `${models} models have a final value; a line needs three${out}.`; return; }
  const name = fit.log ? "exponent" : "slope", unit = fit.log ? "" : " a tenfold";
  said.textContent = `${name} ${withInterval(fit.effect, fit.low, fit.high)}${unit}, 95 % with ${fit.dof} degrees of freedom; ${cell(models)} models, ${cell(runs)} runs; `
    + `a model is off the line by ${fit.log ? `×${Math.exp(fit.sigma).toFixed(2)}` : short(fit.sigma)}${out}.`;
}

function choices(figure) {
  const { view, tools } = figure, again = () => { view.zoom = null; choices(figure); figure.draw(); };
  const option = chosen => ([value, text]) => element("option", { value, selected: value === chosen }, text);
  const select = (name, options, field) => element("label", {}, name, element("select", { onchange: e => { view[field] = e.target.value; view.final &&= field !== "x"; usual(view); again(); } }, ...options.map(option(view[field]))));
  const toggle = (name, field) => element("button", { type: "button", "aria-pressed": String(!!view[field]), onclick: () => { view[field] = !view[field]; again(); } }, name);
  const parts = [
    select("metric", Object.entries(page.quantities).map(([key, q]) => [key, q.metric ? key : q.label.split(" (")[0]]), "key"),
    select("against", Object.entries(page.axes).map(([key, axis]) => [key, axis.title]), "x"),
    toggle("log x", "logX"), toggle("log y", "logY"),
  ];
  if (isAlong(view)) {
    const level = Math.max(0, SMOOTH.indexOf(view.smooth));
    const slider = element("input", { type: "range", min: 0, max: SMOOTH.length - 1, value: level, oninput: e => { view.smooth = SMOOTH[Number(e.target.value)]; figure.draw(); } });
    parts.push(element("label", {}, "smoothing", slider));
    if (new Set(page.runs.map(run => run.seed)).size > 1) parts.push(toggle("mean of seeds", "mean"));
  }
  parts.push(element("button", { type: "button", onclick: () => save(view) }, "CSV"));
  parts.push(element("button", { type: "button", class: "whole", hidden: true, onclick: () => { view.zoom = null; figure.draw(); whole(figure); } }, "whole plot"));
  const open = tools.open;
  tools.replaceChildren(element("summary", {}, "Axes, smoothing, CSV"), element("div", {}, ...parts));
  tools.open = open;
}

// The axes that a quantity is usually seen on, once another is chosen.
function usual(view) {
  view.logY = page.quantities[view.key].log;
  view.logX = view.x !== "step";
  view.smooth = page.quantities[view.key].metric ? 0 : view.smooth;
}

function whole({ view, tools, holder }) {
  const button = tools.querySelector(".whole");
  button.hidden = !view.zoom;
  if (view.zoom) tools.open = true;
  holder.classList.toggle("zoomed", !!view.zoom);
}

function save(view) {
  const link = element("a", { href: URL.createObjectURL(new Blob([csvOf(view)], { type: "text/csv" })), download: `${view.key.replaceAll("/", "-")}-against-${view.x}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

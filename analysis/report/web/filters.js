// What is shown and how it is coloured: words, and buttons for sizes, patches and groups. Plots, table and law follow.
import { cell, element, svg } from "./formats.js";
import { markPath } from "./plot.js";
import { changed, chosen, colour, groupings, groups, isFiltered, page, shownRuns, valueOf } from "./runs.js";

const MOST = 12;

export function filters() {
  const place = document.getElementById("filters");
  if (!place) return;
  const box = element("input", { type: "search", id: "filter", autocomplete: "off", placeholder: "XL/2 done seed=1", oninput: () => { chosen.words = box.value; say(); changed("filter"); } });
  const by = element("select", { id: "group", onchange: () => { chosen.group = by.value; forget("group:"); legend(); say(); changed("group"); } });
  place.append(element("label", {}, "Runs with ", box), element("label", {}, " colour by ", by), element("div", { id: "legend", class: "legend" }), element("p", { id: "shown", class: "hint", role: "status" }));
  refill(by);
  legend();
  say();
}

// After an update: settings and sizes that were not there before.
export function refreshFilters() {
  const by = document.getElementById("group");
  if (!by) return;
  refill(by);
  legend();
  say();
}

function refill(by) {
  by.replaceChildren(...groupings().map(name => element("option", { value: name, selected: name === chosen.group }, name.split(".").at(-1))));
}
const forget = kind => [...chosen.hidden].filter(key => key.startsWith(kind)).forEach(key => chosen.hidden.delete(key));

function legend() {
  const used = new Set(page.runs.map(run => run.size)), bySize = chosen.group === "size";
  const all = bySize ? page.sizes.filter(size => used.has(size)) : groups(), step = Math.max(1, Math.ceil(all.length / MOST));
  const patches = [...new Set(page.runs.map(run => run.patch))].filter(Boolean).sort((a, b) => b - a);
  const coloured = all.filter((_, i) => i % step === 0).map(value => {
    const run = page.runs.find(one => valueOf(one, chosen.group) === value);
    return [`${bySize ? "size" : "group"}:${value}`, String(value === "" ? "not said" : value), colour(run), 2];
  });
  const shapes = patches.length > 1 ? patches.map(p => [`patch:${p}`, `patch ${p}`, "var(--faint)", p]) : [];
  document.getElementById("legend").replaceChildren(...[...coloured, ...shapes].map(button));
}

function button([key, label, fill, patch]) {
  const mark = svg("svg", { width: 16, height: 16, "aria-hidden": "true" });
  svg("path", { d: markPath(patch, 8, 8, 5), fill }, mark);
  const made = element("button", { type: "button", "aria-pressed": String(!chosen.hidden.has(key)) }, mark, label);
  made.addEventListener("click", () => {
    chosen.hidden.has(key) ? chosen.hidden.delete(key) : chosen.hidden.add(key);
    made.setAttribute("aria-pressed", String(!chosen.hidden.has(key)));
    say();
    changed("filter");
  });
  return made;
}

function say() {
  const hint = "Point at a mark, or focus a plot and use the arrow keys, to see the run behind it; drag to zoom, double-click to go back.";
  document.getElementById("shown").textContent = isFiltered()
    ? `${cell(shownRuns().length)} of ${cell(page.runs.length)} runs are shown, and the laws below the plots are fitted to these.` : hint;
}

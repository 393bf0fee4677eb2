// The page of one run, at #run=ID: how it differs from its neighbours, its numbers, attempts, log, and samples along the steps.
import { cell, element } from "./formats.js";
import { asked } from "./live.js";
import { page, runNamed, valueOf } from "./runs.js";

const NEAR = 4;

// Shows the run that the address names, or the report; says whether it is a run.
export async function followAddress() {
  const id = location.hash.startsWith("#run=") ? decodeURIComponent(location.hash.slice(5)) : null, run = id && runNamed(id);
  document.getElementById("run").hidden = !run;
  document.getElementById("report").hidden = !!run;
  if (run) { await show(run); window.scrollTo(0, 0); }
  return !!run;
}

export async function refreshRun(ids) {
  const place = document.getElementById("run");
  if (!place.hidden && ids.includes(place.dataset.run)) await show(runNamed(place.dataset.run));
}

async function show(run) {
  const place = document.getElementById("run"), log = place.querySelector("pre.log"), end = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
  const fresh = place.dataset.run !== run.id;
  place.dataset.run = run.id;
  if (fresh) place.replaceChildren(...top(run), element("p", { class: "hint" }, "Reading its attempts, log and samples …"));
  let more;
  try { more = await asked(run.id); } catch (error) { more = { attempts: [], log: String(error.message ?? error), samples: [] }; }
  if (place.dataset.run !== run.id) return;
  place.replaceChildren(...top(run), ...rest(more));
  const shown = place.querySelector("pre.log");
  if (shown && end) shown.scrollTop = shown.scrollHeight;
}

function top(run) {
  const numbers = page.columns.filter(column => valueOf(run, column.key) !== "" && !(column.key in run.varies) && column.key !== "id");
  return [
    element("p", {}, element("a", { href: "#runs" }, "← all runs")),
    element("h1", {}, run.model + (run.seed === undefined ? "" : ` seed ${run.seed}`)),
    element("p", { class: "where" }, `${run.id} · ${run.state} · step ${cell(run.step)} of ${cell(run.steps ?? "")}`),
    element("dl", { class: "facts" }, ...numbers.filter(c => !["model", "state", "step", "steps", "seed"].includes(c.key))
      .map(c => element("div", {}, element("dt", {}, c.title), element("dd", {}, String(cell(valueOf(run, c.key))))))),
    element("h2", {}, "How it differs from its neighbours"), neighbours(run),
  ];
}

// The runs that differ in the fewest settings, and in which.
function neighbours(run) {
  const names = Object.keys(run.varies), differ = other => names.filter(name => run.varies[name] !== other.varies[name]);
  const near = page.runs.filter(other => other !== run).map(other => ({ other, in: differ(other) })).sort((a, b) => a.in.length - b.in.length).slice(0, NEAR);
  if (!names.length) return element("p", {}, "No setting differs between the runs, or none is recorded.");
  const columns = names.filter(name => near.some(one => one.in.includes(name)));
  const line = (label, of, mine) => element("tr", {}, element("th", { scope: "row" }, label), ...columns.map(name => element("td", { "data-t": name, class: !mine && of.varies[name] !== run.varies[name] ? "other" : "" }, of.varies[name] ?? "")));
  const link = other => element("a", { href: `#run=${encodeURIComponent(other.id)}` }, other.model + (other.seed === undefined ? "" : ` seed ${other.seed}`));
  const head = element("tr", {}, element("th"), ...columns.map(name => element("th", { scope: "col", title: name }, name)));
  const table = element("table", { class: "listed" }, element("thead", {}, head), element("tbody", {}, line("this run", run, true), ...near.map(one => line(link(one.other), one.other, false))));
  const own = element("details", {}, element("summary", {}, `All ${names.length} settings that vary between runs; what all share is under Settings`),
    element("pre", {}, names.map(name => `${name}: ${run.varies[name]}`).join("\n")));
  return element("div", {}, element("div", { class: "scroll" }, table), own);
}

function rest({ attempts, log, samples }) {
  const titles = ["attempt", "from step", "ended", "on", "why"];
  const rows = attempts.map(cells => element("tr", {}, ...cells.map(text => element("td", {}, text))));
  const table = element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, ...titles.map(t => element("th", { scope: "col" }, t)))), element("tbody", {}, ...rows)));
  const strips = samples.map(([step, markup]) => { const box = element("div", { class: "along" }, element("span", {}, step === null ? "" : `step ${cell(step)}`)); box.insertAdjacentHTML("beforeend", markup); return box; });
  return [
    element("h2", {}, "Samples along the steps"), ...(strips.length ? [element("div", { class: "scroll sheets" }, ...strips)] : [element("p", {}, "None yet.")]),
    element("h2", {}, "Attempts"), attempts.length ? table : element("p", {}, "Never started."),
    element("h2", {}, "End of its log"), log ? element("pre", { class: "log", tabindex: "0" }, log) : element("p", {}, "Nothing was logged."),
  ];
}

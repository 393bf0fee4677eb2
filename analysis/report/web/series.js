// What one plot shows: for each line or mark its points, from the runs that are shown, and the same as CSV.
import { colour, curveOf, page, shownRuns } from "./runs.js";
import { finalOf, place } from "./law.js";

export const ALONG = ["step", "train_gmacs"];
export const isAlong = view => ALONG.includes(view.x) && !view.final;   // a law may stand over training compute

export function seriesOf(view) {
  const found = isAlong(view) ? lines(view) : marks(view);
  return found.filter(series => series.x.length);
}

function marks(view) {
  return shownRuns().map(run => {
    const end = finalOf(view.key, run), at = place(run, view.x);
    const there = end && at > 0;
    return described(run, [run], there ? [at] : [], there ? [end.y] : [], false, there ? [end.x] : []);
  });
}

function lines(view) {
  const drawn = shownRuns().map(run => ({ run, curve: curveOf(view.key, run) })).filter(one => one.curve);
  const sets = view.mean ? bySeed(drawn) : drawn.map(one => [one]);
  const made = sets.map(set => ofSeeds(view, set)).filter(Boolean);
  const longest = Math.max(1, ...made.map(series => series.steps.at(-1) ?? 0));
  for (const series of made) if (view.smooth > 0) { series.raw = series.y; series.y = smoothed(series, view.smooth * longest); }
  return made;
}

// Runs that differ in nothing but their seed.
function bySeed(drawn) {
  const sets = new Map();
  for (const one of drawn) {
    const name = [one.run.model, one.run.params, ...Object.entries(one.run.varies).filter(([k]) => k !== "seed").flat()].join(" ");
    sets.set(name, [...(sets.get(name) ?? []), one]);
  }
  return [...sets.values()];
}

// The mean over seeds at the steps that most of them share: with fewer a mean jumps as runs end.
function ofSeeds(view, set) {
  const at = new Map();
  for (const { curve: [steps, values] } of set) steps.forEach((s, i) => { const v = at.get(s) ?? []; v.push(values[i]); at.set(s, v); });
  const steps = [...at.keys()].filter(s => at.get(s).length === set.length || set.length === 1).sort((a, b) => a - b);
  const { run } = set[0], known = view.x === "step" || run.per_step > 0;
  if (!known) return null;
  const x = steps.map(s => view.x === "step" ? s : s * run.per_step);
  const y = steps.map(s => at.get(s).reduce((a, b) => a + b) / at.get(s).length);
  const kept = view.logX ? x.map((v, i) => v > 0 ? i : -1).filter(i => i >= 0) : [...x.keys()];
  return described(run, set.map(one => one.run), kept.map(i => x[i]), kept.map(i => y[i]), true, kept.map(i => steps[i]));
}

function described(run, runs, x, y, line, steps) {
  const seeds = runs.length > 1 ? `mean of ${runs.length} seeds` : run.id;
  const varies = Object.entries(run.varies).filter(([name]) => !["seed", "model.size", "model.patch"].includes(name));
  const told = varies.slice(0, 4).map(([name, value]) => `${name.split(".").at(-1)} ${value}`);
  return { run, runs, x, y, line, steps, colour: colour(run), patch: run.patch, told: [seeds, ...told].join(" · ") };
}

// The exponential average without bias at its start, as `figures.losses` has it; `span` is its time constant in steps.
function smoothed(series, span) {
  const { steps, y } = series;
  let sum = 0, weight = 0;
  return y.map((value, i) => {
    const keep = i ? Math.exp(-(steps[i] - steps[i - 1]) / span) : 0;
    sum = sum * keep + value * (1 - keep || 1); weight = weight * keep + (1 - keep || 1);
    return sum / weight;
  });
}

const quoted = value => /[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);

export function csvOf(view) {
  const found = seriesOf(view), names = [...new Set(found.flatMap(s => Object.keys(s.run.varies)))];
  const head = ["run_ids", "model", "size", "patch", "seeds", ...names, "step", view.x === "step" ? "" : view.x, view.key, "smoothed"].filter(Boolean);
  const rows = found.flatMap(s => s.x.map((x, i) => {
    const what = [s.runs.map(r => r.id).join(" "), s.run.model, s.run.size, s.run.patch, s.runs.map(r => r.seed ?? "").join(" ")];
    return [...what, ...names.map(n => s.run.varies[n] ?? ""), s.steps[i], ...(view.x === "step" ? [] : [x]), (s.raw ?? s.y)[i], s.raw ? s.y[i] : ""];
  }));
  return [head, ...rows].map(row => row.map(quoted).join(",")).join("\n") + "\n";
}

export const labelOf = view => page.quantities[view.key]?.label ?? view.key;

// The law of the runs that are shown: least squares in logs, or a line in log compute, as `dit_grid.analysis.laws` has it.
import { curveOf, page, shownRuns } from "./runs.js";

// A run's value at the last step that it asks for, if it has one.
export function finalOf(key, run) {
  const curve = curveOf(key, run);
  if (!curve || !curve[0].length) return null;
  const last = curve[0].length - 1;
  return curve[0][last] >= run.steps ? { x: curve[0][last], y: curve[1][last] } : null;
}

export function fitOf(key, x, log) {
  const finals = shownRuns().map(run => ({ run, end: finalOf(key, run) })).filter(one => one.end && place(one.run, x) > 0);
  const family = finals.filter(one => one.run.laws.includes(key));
  const used = family.length ? family : finals;
  const points = models(used, x, log);
  const fit = line(points, log);
  return { fit, models: points.length, runs: used.length, others: finals.length - used.length };
}

export const place = (run, x) => x === "train_gmacs" ? run.per_step * run.steps : run[x];

// Seeds are replicates: a model is one point, the geometric mean of its seeds where the law is one of logs.
function models(used, x, log) {
  const found = new Map();
  for (const { run, end } of used) {
    if (log && !(end.y > 0)) continue;
    const name = `${run.model} ${run.params}`;
    if (!found.has(name)) found.set(name, { x: Math.log(place(run, x)), ys: [] });
    found.get(name).ys.push(log ? Math.log(end.y) : end.y);
  }
  return [...found.values()].map(({ x, ys }) => ({ x, y: ys.reduce((a, b) => a + b) / ys.length }));
}

function line(points, log) {
  const n = points.length, dof = n - 2;
  if (dof < 1 || !page.t975[dof - 1]) return null;
  const mx = points.reduce((a, p) => a + p.x, 0) / n, my = points.reduce((a, p) => a + p.y, 0) / n;
  const xx = points.reduce((a, p) => a + (p.x - mx) ** 2, 0), xy = points.reduce((a, p) => a + (p.x - mx) * (p.y - my), 0);
  if (!(xx > 0)) return null;
  const slope = xy / xx, squares = points.reduce((a, p) => a + (p.y - my - slope * (p.x - mx)) ** 2, 0);
  const sigma = Math.sqrt(squares / dof), t = page.t975[dof - 1], error = t * sigma / Math.sqrt(xx);
  const unit = log ? 1 : Math.LN10;           // a line's slope is told a tenfold, a power's exponent has no unit
  const ends = [Math.min(...points.map(p => p.x)), Math.max(...points.map(p => p.x))].map(Math.exp);
  const band = value => {
    const u = Math.log(value), mean = my + slope * (u - mx);
    const half = t * sigma * Math.sqrt(1 + 1 / n + (u - mx) ** 2 / xx);
    return [mean, mean - half, mean + half].map(v => log ? Math.exp(v) : v);
  };
  const scale = log ? Math.exp(my - slope * mx) : my - slope * mx;
  return { log, n, dof, sigma, scale, ends, band, effect: slope * unit, low: (slope - error) * unit, high: (slope + error) * unit };
}

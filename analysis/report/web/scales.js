// Axes: from values to pixels and back, and where the ticks are.
import { powerOfTen, short } from "./formats.js";

export function scale(low, high, log, from, to, room) {
  const f = log ? Math.log10 : value => value;
  let a = f(low), b = f(high);
  if (!(b > a)) { a -= log ? 0.3 : Math.abs(a) * 0.1 + 1e-9; b += log ? 0.3 : Math.abs(b) * 0.1 + 1e-9; }
  const at = value => from + (f(value) - a) / (b - a) * (to - from);
  const back = pixel => { const v = a + (pixel - from) / (to - from) * (b - a); return log ? 10 ** v : v; };
  return { at, back, ticks: log ? logTicks(a, b, room) : linearTicks(a, b, room) };
}

function linearTicks(a, b, room) {
  const raw = (b - a) / Math.max(2, room), power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw);
  const found = [];
  for (let k = Math.ceil(a / step - 1e-9); k * step <= b * (1 + 1e-12) + 1e-15; k++) found.push(k * step);
  return found.map(v => [v, short(Number(v.toPrecision(10)))]);
}

function logTicks(a, b, room) {
  const decades = b - a;
  if (decades < 0.25) return linearTicks(10 ** a, 10 ** b, room);
  const steps = decades > room ? [1] : decades > room / 2 ? [1, 3] : decades > 0.9 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const every = Math.max(1, Math.ceil(decades / room)), found = [];
  for (let k = Math.floor(a); k <= Math.ceil(b); k++)
    for (const s of k % every === 0 ? steps : []) {
      const value = s * 10 ** k, where = Math.log10(value);
      if (where >= a - 1e-9 && where <= b + 1e-9) found.push([value, powerOfTen(value)]);
    }
  return found;
}

// Small deterministic helpers of the mock: chance, ids, time.

/** Mulberry32 over a text: the same name always gives the same chances. */
export function chance(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  let a = h >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function hex(text, digits) {
  const next = chance(text);
  let out = "";
  while (out.length < digits) out += Math.floor(next() * 16).toString(16);
  return out;
}

/** A UUID of version 7 whose time is `at`. */
export function uuid(text, at) {
  const t = at.toString(16).padStart(12, "0");
  const r = hex(text, 18);
  return `${t.slice(0, 8)}-${t.slice(8)}-7${r.slice(0, 3)}-8${r.slice(3, 6)}-${r.slice(6, 18)}`;
}

/** The moment the planted history is told at. The mock's clock goes on from here. */
export const PLANTED = Date.parse("2026-11-23T20:44:50Z");
const started = Date.now();
export const nowMs = () => PLANTED + (Date.now() - started);

export const iso = (ms) => (ms == null ? null : new Date(Math.round(ms)).toISOString());
export const MIN = 60_000;
export const HOUR = 60 * MIN;
export const DAY = 24 * HOUR;

export const median = (list, q = 0.5) => {
  const sorted = list.filter((x) => x != null).sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] : null;
};
export const round = (n, digits = 3) => (n == null ? null : Number(n.toFixed(digits)));

export function words(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} m`;
}

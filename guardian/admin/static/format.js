// Numbers, durations and points in time for people. Times are UTC, as in /status and the logs.

const NOTHING = '–';

export const rate = (value) =>
  value === undefined ? NOTHING : value >= 10 || value === 0 ? count(Math.round(value)) : value.toFixed(1);

export const count = (value) => (value === undefined ? NOTHING : value.toLocaleString('en').replaceAll(',', '\u202f'));

export function milliseconds(value) {
  if (value === undefined) return NOTHING;
  if (value >= 10000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 100) return `${value.toFixed(0)} ms`;
  return `${value.toFixed(value >= 10 ? 1 : 2)} ms`;
}

export const percent = (share) => (share === undefined ? NOTHING : `${Math.round(share * 100)} %`);

export const clock = (unix) => new Date(unix * 1000).toISOString().slice(11, 19);

export const day = (unix) => new Date(unix * 1000).toISOString().slice(0, 10);

// How long a number of seconds is, in its largest unit.
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86400)} days`;
}

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// What the page knows: the state of the last frame, the events, and a history for the charts.

const EVENTS = 500;
const HISTORY = 300; // points of a second each
const SECOND = 1;

// The JSON merge patch of RFC 7396. What it does not touch stays the same object, so that its row is not drawn again.
export function merge(before, change) {
  const after = { ...before };
  for (const [key, value] of Object.entries(change)) {
    if (value === null) delete after[key];
    else if (typeof value === 'object' && !Array.isArray(value)) after[key] = merge(after[key] ?? {}, value);
    else after[key] = value;
  }
  return after;
}

export class Store {
  state = null;
  events = [];
  at = 0; // of the last frame, Unix seconds by the proxy's clock
  number = 0;
  history = new Map(); // group -> points, oldest first

  // Whether the frame could be used; if not, a full one is needed.
  take(frame) {
    if (frame.state) {
      if (this.state && this.state.started !== frame.state.started) this.history.clear();
      this.state = frame.state;
      this.events = frame.events;
    } else {
      if (!this.state || frame.number !== this.number + 1) return false;
      this.state = merge(this.state, frame.change);
      if (frame.events.length) this.events = [...this.events, ...frame.events].slice(-EVENTS);
    }
    this.number = frame.number;
    this.at = frame.at;
    this.#remember();
    return true;
  }

  #remember() {
    for (const [name, group] of Object.entries(this.state.groups)) {
      if (group.rate === undefined) continue;
      let points = this.history.get(name);
      if (!points) this.history.set(name, (points = []));
      const last = points.at(-1);
      if (last && this.at - last.at < SECOND && this.at >= last.at) continue;
      if (last && this.at - last.at > 5) points.push({ at: last.at + SECOND }); // nobody saw what was between
      points.push({
        at: this.at, rate: group.rate, failed: failedRate(group),
        p50: group.p50_ms, p99: group.p99_ms, proxy: group.proxy_p99_ms,
      });
      if (points.length > HISTORY) points.splice(0, points.length - HISTORY);
    }
    for (const name of this.history.keys()) if (!this.state.groups[name]) this.history.delete(name);
  }
}

// Requests a second that were not answered by a device with what they asked for.
export const failedRate = (group) =>
  Object.entries(group.outcomes).reduce((sum, [name, value]) => (name === 'ok' ? sum : sum + value), 0);

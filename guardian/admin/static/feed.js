// The WebSocket: connects, says when it is lost, and comes back by itself. The token is kept for this tab only.

const KEPT = 'guardian.token';
const SILENCE = 3000; // ms; five frames a second are promised
const GRACE = 500;
const FIRST_TRY = 500;
const LAST_TRY = 5000;

export const token = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => sessionStorage.setItem(KEPT, value),
  forget: () => sessionStorage.removeItem(KEPT),
};

export const authorization = () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {});

// A page cannot give a WebSocket a header; the token must not stand in the address, where logs would keep it.
function protocols() {
  const secret = token.get();
  if (!secret) return ['guardian'];
  const bytes = new TextEncoder().encode(secret);
  const coded = btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  return ['guardian', `guardian.bearer.${coded}`];
}

export class Feed {
  #socket = null;
  #timer = 0;
  #wait = FIRST_TRY;

  // `onFrame` says whether a frame could be used. `onState` hears: live, lost, token (one is needed), forbidden.
  constructor(onFrame, onState) {
    this.onFrame = onFrame;
    this.onState = onState;
    addEventListener('online', () => this.#timer && this.connect());
    document.addEventListener('visibilitychange', () => !document.hidden && this.#timer && this.connect());
  }

  connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#drop();
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/feed`, protocols());
    this.#socket = socket;
    // A timer may be late because the page was busy, and then messages wait behind it: they are let in first.
    const silence = () => (watch = setTimeout(() => this.#lost(socket), GRACE));
    let watch = setTimeout(silence, SILENCE * 2);
    socket.onmessage = (message) => {
      if (socket !== this.#socket) return;
      clearTimeout(watch);
      watch = setTimeout(silence, SILENCE);
      if (!this.onFrame(JSON.parse(message.data))) return this.#lost(socket);
      this.#wait = FIRST_TRY;
      this.onState('live');
    };
    socket.onclose = () => {
      clearTimeout(watch);
      if (socket === this.#socket) this.#lost(socket);
    };
  }

  close() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#drop();
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket) socket.close();
  }

  // A page is not told why a WebSocket was refused, so it asks once more in a way that says it.
  async #lost(socket) {
    if (socket !== this.#socket) return;
    this.#drop();
    const pause = this.#wait * (0.75 + Math.random() / 2);
    this.#wait = Math.min(LAST_TRY, this.#wait * 1.6);
    this.#timer = setTimeout(() => this.connect(), pause);
    this.onState('lost', performance.now() + pause);
    let answer = null;
    try {
      answer = await fetch('/feed', { method: 'HEAD', headers: authorization() });
    } catch {
      return; // nobody is there: the next try will tell
    }
    if (answer.status !== 401 && answer.status !== 403) return;
    this.close();
    this.onState(answer.status === 401 ? 'token' : 'forbidden');
  }
}

// Gives what the proxy says of the device then. Throws an Error with a message for people, `status` 0 if unreachable.
export async function setWill(group, device, will) {
  let answer;
  try {
    answer = await fetch(`/groups/${encodeURIComponent(group)}/devices/${encodeURIComponent(device)}/${will}`, {
      method: 'POST', headers: authorization(),
    });
  } catch {
    throw Object.assign(new Error('The proxy cannot be reached. Nothing is known of whether it was done.'), { status: 0 });
  }
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content.device;
  throw Object.assign(new Error(content.error ?? `the proxy answered ${answer.status}`), { status: answer.status });
}

// The dialog that asks before a device is drained, taken out or brought back, and then shows how far it is.

import { clock, count, duration, plural } from './format.js';
import { setWill } from './feed.js';
import { html, useEffect, useRef, useState } from './preact.js';
import { connected, left } from './standing.js';

const ASKS = {
  drain: ['Drain', 'It gets no new requests. What is outstanding, and the clients that are pinned to it, may end.'],
  maint: ['Maintenance', 'It is out at once: its connections are closed and pings stop. A write that it had outstanding may be in doubt.'],
  ready: ['Ready', 'It may serve again, as soon as pings and its key table allow it.'],
};

// How much is still to come until it is so, or null when it is. Words as `guardian device --wait` has them.
function missing(will, device) {
  if (will === 'drain') {
    if (!left(device)) return null;
    const pinned = device.connections.private ?? 0;
    return { number: left(device), text: `${count(device.outstanding)} outstanding${pinned ? `, ${count(pinned)} on connections of pinned clients` : ''}` };
  }
  if (will === 'maint') return connected(device) ? { number: connected(device), text: plural(connected(device), 'connection') + ' still open' } : null;
  const serves = device.in_service && (device.health === 'up' || device.health === 'probation');
  if (serves || (device.role === 'backup' && device.health === 'up')) return null;
  return { number: 1, text: `its health is ${device.health}${device.reason ? `: ${device.reason}` : ''}` };
}

const DONE = {
  drain: 'It is empty. Nothing is outstanding on it and no client is pinned to it.',
  maint: 'It is out. No connection to it is open.',
  ready: (device) => (device.in_service ? 'It is in service.' : 'It is up and stands by.'),
};

// What is in service beside it once it is gone; a warning where that is nothing.
function others(group, name) {
  return Object.entries(group.devices).filter(([other, device]) => other !== name && device.in_service).length;
}

export function Steer({ order, groups, at, close, steer, needToken, announce }) {
  const { group: groupName, device: name, will } = order;
  const place = `${groupName}/${name}`;
  const dialog = useRef(null);
  const [phase, setPhase] = useState('ask'); // ask, sending, sent, failed
  const [problem, setProblem] = useState('');
  const [begun, setBegun] = useState(0);
  const [ended, setEnded] = useState(0);
  const [most, setMost] = useState(0);
  const group = groups[groupName];
  const device = group?.devices[name];
  const rest = device && phase === 'sent' && device.will === will ? missing(will, device) : null;
  const overruled = device && phase === 'sent' && begun && at > begun && device.will !== will;
  const done = device && phase === 'sent' && device.will === will && !rest;

  useEffect(() => {
    dialog.current.showModal();
  }, []);
  useEffect(() => {
    setPhase('ask');
    setEnded(0);
    setMost(0);
  }, [groupName, name, will]);
  useEffect(() => {
    if (rest && rest.number > most) setMost(rest.number);
  }, [rest?.number]);
  useEffect(() => {
    if (!done) return;
    setEnded(at);
    announce(`${place}: ${typeof DONE[will] === 'string' ? DONE[will] : DONE[will](device)}`);
  }, [done]);

  const send = async () => {
    setPhase('sending');
    setMost(device ? (missing(will, device)?.number ?? 0) : 0);
    try {
      await setWill(groupName, name, will);
      setBegun(at);
      setPhase('sent');
      announce(`${place}: ${will} is set`);
    } catch (error) {
      if (error.status === 401) needToken();
      setProblem(error.message);
      setPhase('failed');
    }
  };

  const [title, meaning] = ASKS[will];
  const beside = group ? others(group, name) : 0;
  return html`<dialog ref=${dialog} aria-labelledby="h-steer" onClose=${close}>
    <h2 id="h-steer">${title}: ${place}</h2>
    <div class="body">
      ${!device && html`<p class="warning">It is not in the configuration any more.</p>`}
      ${device && phase === 'ask' && html`
        <p class="lead">${meaning}</p>
        ${will !== 'ready' && device.in_service && (beside
          ? html`<p class="dim">${plural(beside, 'other device')} of ${groupName} ${beside === 1 ? 'is' : 'are'} in service. Now outstanding here: ${count(device.outstanding)}.</p>`
          : html`<p class="warning"><strong>Nothing else is in service in ${groupName}.</strong> Unless a backup takes over, its clients get 902 NO DEVICE AVAILABLE.</p>`)}
        ${will !== 'ready' && device.role === 'primary' && html`<p class="warning"><strong>It is the primary.</strong> Until it is ready again, writes get 902 NO DEVICE AVAILABLE, or with
          ${' '}primary_loss: promote a production device goes first.</p>`}
        ${will === 'ready' && device.behind && html`<p class="warning"><strong>It is behind: its key table lacks a write.</strong>
          ${device.will === 'maint' ? 'With ready after maintenance you vouch for its key table.' : 'It stays out until it is shown equal.'}</p>`}`}
      ${phase === 'sending' && html`<p class="lead">Telling the proxy …</p>`}
      ${phase === 'failed' && html`<p class="warning" role="alert"><strong>It was not done.</strong> ${problem}</p>`}
      ${overruled && html`<p class="warning" role="alert">Somebody else has set it to ${device.will} meanwhile.</p>`}
      ${phase === 'sent' && !overruled && device && html`
        <p class="lead" data-value="progress">${rest ? html`${will === 'ready' ? 'Not yet: ' : 'Still '}${rest.text}` : typeof DONE[will] === 'string' ? DONE[will] : DONE[will](device)}</p>
        ${will !== 'ready' && html`<progress max=${Math.max(1, most)} value=${Math.max(0, Math.max(1, most) - (rest?.number ?? 0))} aria-label="How much of it has ended"></progress>`}
        <p class="left dim"><span>since ${clock(begun)} UTC</span><span>${rest ? `${duration(at - begun)} so far` : `after ${duration((ended || at) - begun)}`}</span></p>
        ${rest && html`<p class="dim">You may close this; it goes on, and the table shows it.</p>`}`}
    </div>
    <footer>
      ${device && phase === 'ask' && html`
        <button onClick=${() => dialog.current.close()}>Cancel</button>
        <button class=${will !== 'ready' && !beside ? 'danger' : 'main'} onClick=${send}>${title === 'Ready' ? 'Bring it back' : title === 'Drain' ? 'Drain it' : 'Take it out'}</button>`}
      ${phase === 'failed' && html`<button onClick=${() => dialog.current.close()}>Close</button><button class="main" onClick=${send}>Try again</button>`}
      ${phase === 'sent' && html`
        ${will === 'drain' && html`<button onClick=${() => steer({ ...order, will: 'ready' })}>Bring it back</button>`}
        ${will === 'drain' && done && html`<button onClick=${() => steer({ ...order, will: 'maint' })}>Maintenance</button>`}
        <button class=${done ? 'main' : ''} onClick=${() => dialog.current.close()}>Close</button>`}
      ${(phase === 'sending' || !device) && html`<button onClick=${() => dialog.current.close()}>Close</button>`}
    </footer>
  </dialog>`;
}

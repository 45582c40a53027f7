// The column on the right, and the commands: what happened, what is slow or refused, what ends next, who is connected.

import { level, SIGNS } from './events.js';
import { clock, count, day, duration, milliseconds, percent, plural, rate } from './format.js';
import { html, kept, useState } from './preact.js';

function Event({ event }) {
  const is = level(event);
  const by = event.source ? `by ${event.who} from ${event.source}` : '';
  return html`<li class=${is} data-kind=${event.kind} data-result=${event.result}>
    <time datetime=${new Date(event.at * 1000).toISOString()}>${clock(event.at)}</time>
    <span class="sign" aria-hidden="true">${SIGNS[is]}</span>
    <span><strong>${event.kind === 'reload' ? `reload ${event.result}` : event.result}</strong> ${event.kind === 'start' || event.kind === 'stop' ? '' : event.what}</span>
    ${(by || event.detail) && html`<span class="detail">${[by, event.detail].filter(Boolean).join('; ')}</span>`}
  </li>`;
}

const SHOWN = 100;

export const Timeline = kept(({ events }) => {
  const [operators, setOperators] = useState(false);
  const wanted = operators ? events.filter((event) => event.source) : events;
  const latest = wanted.slice(-SHOWN).reverse();
  let last = '';
  return html`<section class="panel events-panel" aria-labelledby="h-events">
    <header><h2 id="h-events">What happened</h2><span class="spring"></span>
      <label class="check"><input type="checkbox" checked=${operators} onChange=${(event) => setOperators(event.target.checked)} />Only by people</label></header>
    ${latest.length === 0
      ? html`<p class="empty">Nothing yet.</p>`
      : html`<div class="scroll data events" tabindex="0" role="group" aria-labelledby="h-events"><ol>${latest.map((event) => {
          const today = day(event.at);
          const head = today === last ? '' : html`<li class="day" key=${today}>${today} (UTC)</li>`;
          last = today;
          return [head, html`<${Event} key=${event.number} event=${event} />`];
        })}</ol></div>`}
  </section>`;
});

const ORDERS = {
  slowest: ['Slowest', (a, b) => (b.p99_ms ?? -1) - (a.p99_ms ?? -1)],
  refused: ['Most refused', (a, b) => b.refused - a.refused || (b.rate ?? 0) - (a.rate ?? 0)],
  busiest: ['Busiest', (a, b) => (b.rate ?? 0) - (a.rate ?? 0)],
};
const COMMANDS = 12;

const ended = (outcomes) =>
  Object.entries(outcomes).filter(([name]) => name !== 'ok').sort((a, b) => b[1] - a[1]).map(([name, value]) => `${name} ${count(value)}`).join(', ');

export const Commands = kept(({ name, commands }) => {
  const [by, setBy] = useState('slowest');
  const known = Object.entries(commands).map(([code, command]) => ({ code, ...command }));
  const rows = known.sort((a, b) => ORDERS[by][1](a, b) || a.code.localeCompare(b.code)).slice(0, COMMANDS);
  return html`<section class="panel commands" aria-labelledby="h-commands">
    <header><h2 id="h-commands">Commands of ${name}</h2><span class="note">last minute</span><span class="spring"></span>
      <span class="tabs" role="group" aria-label="Order of the commands">${Object.entries(ORDERS).map(([key, [title]]) => html`<button aria-pressed=${key === by} onClick=${() => setBy(key)}>${title}</button>`)}</span></header>
    ${rows.length === 0
      ? html`<p class="empty">No requests yet.</p>`
      : html`<div class="scroll data" tabindex="0" role="group" aria-labelledby="h-commands"><table>
        <thead><tr><th scope="col">Command</th><th scope="col" class="number">Requests/s</th><th scope="col" class="number">p50</th><th scope="col" class="number">p99</th>
          <th scope="col" class="number" title="Said no by the proxy: blocked, no device, busy, malformed, shutting down, login lost">Refused</th>
          <th scope="col">Not ok since the start</th></tr></thead>
        <tbody>${rows.map((row) => html`<tr key=${row.code}><th scope="row"><code>${row.code}</code></th><td class="number">${rate(row.rate)}</td>
          <td class="number">${milliseconds(row.p50_ms)}</td><td class="number">${milliseconds(row.p99_ms)}</td>
          <td class="number">${row.refused ? html`<span class="tag warn">${count(row.refused)}</span> ${percent(row.refused / row.requests)}` : html`<span class="dim">0</span>`}</td>
          <td class="dim">${ended(row.outcomes) || 'none'}</td></tr>`)}</tbody>
      </table></div>`}
  </section>`;
});

const SOON = 30;
const NOW = 7;

const base = (file) => file.split('/').slice(-2).join('/');

export const Certificates = kept(({ certificates, today }) => html`<section class="panel certificates" aria-labelledby="h-certificates">
  <header><h2 id="h-certificates">Certificates and CRLs</h2><span class="note">next to end first</span></header>
  ${certificates.length === 0
    ? html`<p class="empty">None in use.</p>`
    : html`<div class="scroll data" tabindex="0" role="group" aria-labelledby="h-certificates"><ul class="rows">${certificates.map(({ file, expires }) => {
        const days = Math.floor((expires - today) / 86400);
        const kind = days < NOW ? 'bad' : days < SOON ? 'warn' : '';
        return html`<li key=${file}><span class="grow cut" title=${file}>${base(file)}</span><span class="dim">${day(expires)}</span>
          <span class="tag ${kind}">${days < 0 ? 'has ended' : plural(days, 'day')}</span></li>`;
      })}</ul></div>`}
</section>`);

export const Listeners = kept(({ listeners }) => html`<section class="panel" aria-labelledby="h-listeners">
  <header><h2 id="h-listeners">Listeners</h2></header>
  <ul class="rows data">${Object.entries(listeners).map(([name, { bind, group, connections, handshakes }]) => {
    const kinds = Object.entries(connections).filter(([, value]) => value).map(([kind, value]) => `${count(value)} ${kind}`);
    const refused = (handshakes.refused ?? 0) + (handshakes.error ?? 0) + (handshakes.timeout ?? 0) + (handshakes.crowded ?? 0);
    return html`<li key=${name}><span class="grow"><strong>${name}</strong> <span class="dim">${bind} to ${group}</span><br />
      ${kinds.length ? `clients: ${kinds.join(', ')}` : 'no clients'}${refused ? html`, <span title="TLS handshakes that failed, since the start">${plural(refused, 'handshake')} failed</span>` : ''}</span></li>`;
  })}</ul>
</section>`);

export const Workers = kept(({ workers, now }) => html`<section class="panel" aria-labelledby="h-workers">
  <header><h2 id="h-workers">Workers</h2></header>
  <ul class="rows data">${Object.entries(workers).map(([number, worker]) => html`<li key=${number} data-worker=${number}>
    <span class="state ${worker.up ? 'good' : 'bad'}"><span class="sign" aria-hidden="true">${worker.up ? SIGNS.good : SIGNS.bad}</span></span>
    <span class="grow"><strong>${number}</strong> ${worker.up
      ? html`<span class="dim">up ${duration(now - worker.started)}, ${Math.round(worker.memory / 1048576)} MiB</span><br />
        ${plural(worker.connections, 'client')}, ${count(worker.outstanding)} outstanding`
      : html`does not run`}${worker.restarts ? html`, started again ${plural(worker.restarts, 'time')}` : ''}</span></li>`)}</ul>
</section>`);

export const uptime = (state, at) => `up ${duration(at - state.started)}`;

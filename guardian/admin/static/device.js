// One device: its row, and what opens below it.

import { clock, count, day, duration, milliseconds, percent, rate } from './format.js';
import { html, kept } from './preact.js';
import { standing, why } from './standing.js';

const OFFERS = { ready: ['drain', 'maint'], drain: ['ready', 'maint'], maint: ['ready'] };
export const VERBS = { drain: 'Drain', maint: 'Maint', ready: 'Ready' };
const COLUMNS = 8; // of which two more stand in a wide table

// From `low` to `high`, powers of ten of a millisecond: the same for all rows, so that they can be compared.
function Latency({ p50, p99, slow, low, high }) {
  if (p50 === undefined) return html`<span class="span dim"><span class="value">–</span></span>`;
  const place = (ms) => 3 + 90 * Math.min(1, Math.max(0, (Math.log10(ms) - low) / (high - low)));
  const [from, to] = [place(p50), place(p99)];
  const decades = [...Array(high - low + 1).keys()].map((number) => place(10 ** (low + number)));
  return html`<span class="span ${slow ? 'slow' : ''}">
    <svg viewBox="0 0 96 14" aria-hidden="true">
      <line x1="3" x2="93" y1="12.5" y2="12.5" />${decades.map((x) => html`<line x1=${x} x2=${x} y1="9" y2="13" />`)}
      <rect x=${from} y="3" width=${Math.max(1, to - from)} height="6" rx="2" /><circle cx=${from} cy="6" r="3" />
    </svg>
    <span class="value">${milliseconds(p50)} <span class="unit">/</span> ${milliseconds(p99)}</span>
  </span>`;
}

export const Row = kept(({ index, group, name, device, qualified, open, toggle, steer, may, now, low, high }) => {
  const is = standing(device);
  const id = `d-${group}-${name}`;
  const because = why(device);
  return html`<tr class=${is.level === 'good' || is.level === 'calm' ? '' : is.level} data-device="${group}/${name}" aria-rowindex=${index}>
      <th scope="row" title="${group}/${name}">
        <button class="link" aria-expanded=${open} aria-controls=${open ? id : undefined} onClick=${() => toggle(`${group}/${name}`)}>
          ${qualified ? html`<span class="role">${group}/</span>` : ''}${name}</button> <span class="role">${device.role}</span></th>
      <td><span class="state ${is.level}"><span class="sign" aria-hidden="true">${is.sign}</span>${is.word}</span></td>
      <td class="number" data-value="rate">${rate(device.rate)}</td>
      <td><span class="meter"><span class="track" aria-hidden="true"><i style=${{ width: `${(device.share ?? 0) * 100}%` }}></i></span><span class="value">${percent(device.share)}</span></span></td>
      <td class="number">${count(device.outstanding)}<span class="unit"> / ${count(device.limit)}</span></td>
      <td><${Latency} p50=${device.p50_ms} p99=${device.p99_ms} slow=${device.slower !== undefined} low=${low} high=${high} /></td>
      <td class="number">${milliseconds(device.ping_ms)}</td>
      <td class="number">${device.errors ? count(device.errors) : html`<span class="dim">0</span>`}</td>
      <td title=${because}>${because ? because : html`<span class="dim">for ${duration(now - device.since)}</span>`}</td>
      <td><span class="does">${may && OFFERS[device.will].map(
        (will) => html`<button onClick=${() => steer({ group, device: name, will })} data-will=${will}
          aria-label="${VERBS[will]} ${group}/${name}">${VERBS[will]}</button>`,
      )}</span></td>
    </tr>
    ${open && html`<tr class="more" id=${id}><td colspan=${COLUMNS}><${More} group=${group} name=${name} device=${device} now=${now} /></td><td colspan="2"></td></tr>`}`;
});

const list = (counts) =>
  Object.entries(counts).filter(([, value]) => value).map(([key, value]) => `${key} ${count(value)}`).join(', ') || 'none';

function More({ group, name, device, now }) {
  const facts = [
    ['Address', device.address],
    ['Role, weight', `${device.role}, ${device.weight}`],
    ['Operator wants', device.will],
    ['Health', device.health],
    ['As it is since', `${day(device.since)} ${clock(device.since)}, ${duration(now - device.since)}`],
    ['Requests', count(device.requests)],
    ['How they ended', list(device.outcomes)],
    ['Latency p50 / p99', `${milliseconds(device.p50_ms)} / ${milliseconds(device.p99_ms)}`],
    ['Last ping', milliseconds(device.ping_ms)],
    ['Connections', list(device.connections)],
    ['Ejected', list(device.ejections)],
    ['Licensed rate', device.licence ? `${count(device.licence)}/s, used up ${count(device.throttled)} times` : 'none set'],
    ['Likeness', device.likeness === 'unlike' ? `unlike: ${device.differs.join(', ')}` : device.likeness],
    ['Key table', device.behind ? 'lacks a write' : 'not known to lack a write'],
  ];
  return html`<div class="more-head"><strong>${group}/${name}</strong>
      <span>${why(device) || 'nothing is wrong with it'}</span>${hint(device)}</div>
    <dl class="facts">${facts.map(([key, value]) => html`<div><dt>${key}</dt><dd>${value}</dd></div>`)}</dl>`;
}

// Where the time of a slow device goes, as far as that can be told from here.
function hint(device) {
  if (!device.slower || device.ping_ms === undefined) return '';
  const slowPing = device.ping_ms >= device.p50_ms / 2;
  return html`<span class="dim">${slowPing
    ? `Its pings are slow too (${milliseconds(device.ping_ms)}): look at the network and at the whole device.`
    : `Its pings are quick (${milliseconds(device.ping_ms)}): its network is well, it is slow at the work itself.`}</span>`;
}

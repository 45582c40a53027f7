// The table of devices: filter, order, and only what needs attention. Made for a handful as for five hundred.

import { Row } from './device.js';
import { count, plural } from './format.js';
import { html, useRef, useState } from './preact.js';
import { LEVELS, needsAttention, standing, why } from './standing.js';

const MANY = 30; // rows from which on they are lower
const ALL = 80; // rows that are all in the page; of more, only those in sight and some above and below
const ROW = 26; // px, as the style sheet has it
const SPARE = 15; // rows

const HEADS = [
  ['device', 'Device', '', null],
  ['state', 'State', '', ({ device }) => LEVELS[standing(device).level]],
  ['rate', 'Req/s', 'number', ({ device }) => -(device.rate ?? -1)],
  ['share', 'Share', '', ({ device }) => -(device.share ?? -1), 'Of the attempts in its group, just now'],
  ['out', 'Outst.', 'number', ({ device }) => -device.outstanding, 'Sent and not answered, and how many may be'],
  ['latency', 'Latency p50 / p99', 'number', ({ device }) => -(device.p50_ms ?? -1), 'Of the last 10 s, or the last minute where there was little; the marks are powers of ten'],
  ['ping', 'Ping', 'number', ({ device }) => -(device.ping_ms ?? -1)],
  ['errors', 'Errors', 'number', ({ device }) => -device.errors, 'Attempts that failed by its fault, since the start'],
  ['why', 'Why', '', null],
  ['do', '', '', null],
];

const byName = (a, b) => `${a.group}/${a.name}`.localeCompare(`${b.group}/${b.name}`, 'en', { numeric: true });

function ordered(entries, { key, reverse }) {
  const column = HEADS.find(([name]) => name === key);
  if (!column) return entries; // as configured
  const value = column[3];
  const sorted = [...entries].sort((a, b) => (value ? value(a) - value(b) : 0) || byName(a, b));
  return reverse ? sorted.reverse() : sorted;
}

const matches = (entry, words) => {
  const { device } = entry;
  const text = `${entry.group}/${entry.name} ${device.role} ${device.address} ${device.will} ${device.health} ${standing(device).word} ${why(device)}`.toLowerCase();
  return words.every((word) => text.includes(word));
};

// The decades that hold every latency shown, as powers of ten.
function scale(entries) {
  let [least, most] = [Infinity, 0];
  for (const { device } of entries) {
    if (device.p50_ms) least = Math.min(least, device.p50_ms);
    if (device.p99_ms) most = Math.max(most, device.p99_ms);
  }
  if (!most) return [0, 2];
  const low = Math.floor(Math.log10(least));
  return [low, Math.max(low + 2, Math.ceil(Math.log10(most)))];
}

// Up and down go from row to row, staying in the column of buttons.
function walk(event) {
  const step = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' }[event.key];
  const button = event.target.closest?.('tbody button');
  if (!step || !button) return;
  const buttons = (row) => [...row.querySelectorAll('button')];
  let row = button.closest('tr');
  const index = buttons(row).indexOf(button);
  do row = row[step]; while (row && !buttons(row).length);
  if (!row) return;
  event.preventDefault();
  const found = buttons(row);
  found[Math.min(index, found.length - 1)].focus();
}

export function Devices({ groups, chosen, steer, may, now }) {
  const [words, setWords] = useState('');
  const [attention, setAttention] = useState(false);
  const [everywhere, setEverywhere] = useState(true);
  const [order, setOrder] = useState({ key: '', reverse: false });
  const [opened, setOpened] = useState(() => new Set());
  const [top, setTop] = useState(0);
  const place = useRef(null);

  const names = Object.keys(groups);
  const several = names.length > 1;
  const all = names.flatMap((group) =>
    several && !everywhere && group !== chosen
      ? []
      : Object.entries(groups[group].devices).map(([name, device]) => ({ group, name, device })));
  const troubled = all.filter(({ device }) => needsAttention(device)).length;
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = ordered(all.filter((entry) => (!attention || needsAttention(entry.device)) && matches(entry, wanted)), order);

  const [low, high] = scale(shown);
  const [from, to] = shown.length <= ALL ? [0, shown.length]
    : [Math.max(0, Math.floor(top / ROW) - SPARE), Math.min(shown.length, Math.ceil((top + (place.current?.clientHeight ?? 900)) / ROW) + SPARE)];
  const scrolled = ({ currentTarget }) => setTop(Math.floor(currentTarget.scrollTop / (ROW * 5)) * ROW * 5);
  const gap = (rows) => rows > 0 && html`<tr aria-hidden="true" class="gap" style=${{ height: `${rows * ROW}px` }}></tr>`;

  const toggle = (place) => setOpened((before) => {
    const after = new Set(before);
    if (!after.delete(place)) after.add(place);
    return after;
  });
  const sortBy = (key) => setOrder((before) =>
    before.key !== key ? { key, reverse: false } : before.reverse ? { key: '', reverse: false } : { key, reverse: true });

  return html`<section class="panel devices ${all.length > MANY ? 'many' : ''} ${several && everywhere ? 'several' : ''}" aria-labelledby="h-devices">
    <header>
      <h2 id="h-devices">Devices</h2>
      <span class="note" data-value="shown">${shown.length === all.length ? plural(all.length, 'device') : `${count(shown.length)} of ${plural(all.length, 'device')}`}${troubled ? `, ${count(troubled)} not in order` : ''}</span>
      <span class="spring"></span>
      <label class="check"><input type="checkbox" checked=${attention} onChange=${(event) => setAttention(event.target.checked)} />Only what is not in order</label>
      ${several && html`<label class="check"><input type="checkbox" checked=${!everywhere} onChange=${(event) => setEverywhere(!event.target.checked)} />Only ${chosen}</label>`}
      <input type="search" id="filter" placeholder="Filter: name, state, reason  /" aria-label="Filter devices" value=${words} onInput=${(event) => setWords(event.target.value)} />
    </header>
    <div class="scroll data" tabindex="0" role="group" aria-labelledby="h-devices" onKeyDown=${walk} onScroll=${scrolled} ref=${place}><table aria-rowcount=${shown.length + 1}>
      <colgroup>${HEADS.map(([key]) => html`<col class="c-${key}" />`)}</colgroup>
      <thead><tr aria-rowindex="1">${HEADS.map(([key, title, kind, , hint]) => html`<th scope="col" class=${kind} title=${hint}
          aria-sort=${order.key === key ? (order.reverse ? 'descending' : 'ascending') : undefined}>
        ${key === 'do' ? html`<span class="hidden-text">Actions</span>` : key === 'why' ? title
          : html`<button onClick=${() => sortBy(key)}>${title}${order.key === key ? (order.reverse ? ' ↑' : ' ↓') : ''}</button>`}</th>`)}</tr></thead>
      <tbody>${gap(from)}${shown.slice(from, to).map(({ group, name, device }, number) => html`<${Row} key=${`${group}/${name}`} index=${from + number + 2} group=${group} name=${name} device=${device}
          qualified=${several && everywhere} open=${opened.has(`${group}/${name}`)} toggle=${toggle} steer=${steer} may=${may} now=${now} low=${low} high=${high} />`)}${gap(shown.length - to)}</tbody>
    </table>
    ${shown.length === 0 && html`<p class="empty">${all.length ? 'No device matches.' : 'There are no devices.'}</p>`}</div>
  </section>`;
}

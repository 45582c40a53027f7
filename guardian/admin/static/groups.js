// One row for each group: is it well, how fast, how much of the latency is the proxy's own.

import { count, milliseconds, plural, rate } from './format.js';
import { html, kept } from './preact.js';
import { failedRate } from './store.js';
import { LEVELS, standing } from './standing.js';

function verdict(group) {
  const devices = Object.values(group.devices);
  const worst = devices.map((device) => standing(device).level).sort((a, b) => LEVELS[a] - LEVELS[b])[0];
  if (!group.usable) return { level: 'bad', sign: '✕', word: 'No device in service' };
  const serving = devices.filter((device) => device.in_service).length;
  const word = `${serving} of ${devices.length} in service`;
  if (group.writes.in_doubt.length) return { level: 'bad', sign: '✕', word: `${word}, a write in doubt` };
  if (worst === 'bad') return { level: 'bad', sign: '✕', word };
  if (worst === 'warn') return { level: 'warn', sign: '▲', word };
  if (worst === 'set') return { level: 'set', sign: '■', word };
  return { level: 'good', sign: '●', word };
}

const Row = kept(({ name, group, chosen, choose }) => {
  const is = verdict(group);
  const failed = failedRate(group);
  return html`<tr class="${chosen ? 'chosen' : ''} ${is.level === 'good' ? '' : is.level}">
    <th scope="row">
      <button class="link" aria-pressed=${chosen} onClick=${() => choose(name)}>${name}</button>
      ${group.type === 'hsm' ? '' : html` <span class="role">${group.type}</span>`}
    </th>
    <td><span class="state ${is.level}"><span class="sign" aria-hidden="true">${is.sign}</span>${is.word}</span></td>
    <td class="number" data-value="rate">${rate(group.rate)}</td>
    <td class="number">${failed ? html`<span class="tag warn">${rate(failed)}</span>` : html`<span class="dim">0</span>`}</td>
    <td class="number">${milliseconds(group.p50_ms)}</td>
    <td class="number">${milliseconds(group.p99_ms)}</td>
    <td class="number">${milliseconds(group.proxy_p99_ms)}</td>
    <td class="number">${count(group.outstanding)}</td>
    <td class="number">${group.queued ? count(group.queued) : html`<span class="dim">0</span>`}</td>
    <td class="number">${count(group.sessions)}</td>
    <td class="number">${writesInTrouble(group)}</td>
  </tr>`;
});

function writesInTrouble({ writes }) {
  if (writes.in_doubt.length) return html`<span class="tag bad">${plural(writes.in_doubt.length, 'in doubt', 'in doubt')}</span>`;
  const behind = Object.keys(writes.behind).length;
  if (behind) return html`<span class="tag bad">${behind} behind</span>`;
  return writes.last_sequence ? html`#${count(writes.last_sequence)}` : html`<span class="dim">none</span>`;
}

const FEW = 8;

// As configured where one sees all of them at once; else those in trouble first.
function ordered(groups) {
  const entries = Object.entries(groups);
  if (entries.length <= FEW) return entries;
  const ranks = new Map(entries.map(([name, group]) => [name, LEVELS[verdict(group).level]]));
  return entries.sort(([a], [b]) => ranks.get(a) - ranks.get(b));
}

export const Groups = kept(({ groups, chosen, choose }) => html`<section class="panel groups" aria-labelledby="h-groups">
  <header><h2 id="h-groups">Groups</h2><span class="note">latency of the last 10 s</span></header>
  <div class="scroll data" tabindex="0" role="group" aria-labelledby="h-groups"><table>
    <thead><tr>
      <th scope="col">Group</th><th scope="col">State</th><th scope="col" class="number">Requests/s</th>
      <th scope="col" class="number" title="Requests a second that ended in any other way than well">Not ok/s</th>
      <th scope="col" class="number">p50</th><th scope="col" class="number">p99</th>
      <th scope="col" class="number" title="p99 of what the proxy itself adds: all but the device's time">Proxy's p99</th>
      <th scope="col" class="number">Outstanding</th><th scope="col" class="number">Queued</th>
      <th scope="col" class="number">Sessions</th><th scope="col" class="number">Writes</th>
    </tr></thead>
    <tbody>${ordered(groups).map(
      ([name, group]) => html`<${Row} key=${name} name=${name} group=${group} chosen=${name === chosen} choose=${choose} />`,
    )}</tbody>
  </table></div>
</section>`);

// What of a group fits into no column.
export function GroupFacts({ name, group, at }) {
  const { writes, logins } = group;
  const behind = Object.entries(writes.behind).map(
    ([device, number]) => `${device} since #${number}${writes.in_doubt.includes(device) ? ' (in doubt)' : ''}`,
  );
  const devices = Object.values(group.devices);
  const unlike = devices.filter((device) => device.likeness === 'unlike').length;
  const unknown = devices.filter((device) => device.likeness === 'unknown').length;
  const failing = Object.entries(group.outcomes).filter(([outcome]) => outcome !== 'ok');
  const facts = [
    ['Requests', count(group.requests)],
    ['Failing now', failing.length ? failing.map(([outcome, value]) => `${outcome} ${rate(value)}/s`).join(', ') : 'none'],
    ['Sent again', count(group.resent)],
    ['Fail-overs', count(group.failovers)],
    ['Sessions', `${count(group.sessions)}, ${plural(logins.refused ?? 0, 'login')} refused`],
    ['Pinned clients', count(group.pinned)],
    ['Writes', writes.last_sequence ? `last #${writes.last_sequence}, ${writes.queued} queued` : `none, ${writes.queued} queued`],
    ['Behind', behind.length ? behind.join(', ') : 'none'],
    ['Alike', unlike ? `${unlike} unlike` : unknown === devices.length ? 'not compared' : unknown ? `${unknown} not known` : 'all'],
  ];
  if (writes.promoted) facts.push(['Stands in for the primary', writes.promoted]);
  if (group.would_block) facts.push(['Would be blocked', count(group.would_block)]);
  return html`<div class="group-facts data"><dl class="facts" aria-label=${`Facts of ${name}`}>
    ${facts.map(([key, value]) => html`<div><dt>${key}</dt><dd>${value}</dd></div>`)}
  </dl></div>`;
}

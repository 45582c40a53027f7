// How much an event matters, by its kind and result.

export const SIGNS = { bad: '✕', warn: '▲', set: '■', good: '●', calm: '○' };

const BAD = ['down', 'ejected', 'unsafe', 'failed', 'device behind', 'device unlike', 'backups serve', 'write in doubt', 'primary promoted', 'lost'];
const GOOD = ['up', 'ok', 'serving', 'device equal again', 'device alike again', 'primary is back'];

export function level(event) {
  if (event.kind === 'will') return 'set';
  if (BAD.includes(event.result)) return event.kind === 'failover' ? 'warn' : 'bad';
  if (event.result === 'probation' || event.kind === 'stop') return 'warn';
  return GOOD.includes(event.result) ? 'good' : 'calm';
}

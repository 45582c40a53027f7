// What a device's role, will and health come down to: one word, a sign, and how much it matters.

import { SIGNS } from './events.js';

export const LEVELS = { bad: 0, warn: 1, set: 2, good: 3, calm: 4 };

const state = (level, word) => ({ level, word, sign: SIGNS[level] });

// What still has to end before a drained device is empty.
export const left = (device) => device.outstanding + (device.connections.private ?? 0);

export const connected = (device) => Object.values(device.connections).reduce((sum, value) => sum + value, 0);

const WORDS = { down: 'Down', ejected: 'Ejected', unsafe: 'Unsafe', probation: 'Probation', unknown: 'Not known yet' };

export function standing(device) {
  if (device.will === 'maint') return state('set', connected(device) ? `Maint, ${connected(device)} open` : 'Maintenance');
  if (device.will === 'drain') return state('set', left(device) ? `Draining, ${left(device)} left` : 'Drained');
  if (device.health === 'unsafe' || device.health === 'down' || device.health === 'ejected')
    return state('bad', WORDS[device.health]);
  if (device.health !== 'up') return state('warn', WORDS[device.health] ?? device.health);
  if (device.slower) return state('warn', `Slow, ${device.slower}×`);
  if (device.in_service) return state('good', 'In service');
  if (device.role === 'backup') return state('calm', 'Stands by');
  return state('warn', 'Not in service');
}

// Why it is so, for people.
export function why(device) {
  const reasons = [];
  if (device.reason) reasons.push(device.reason);
  if (device.slower) reasons.push(`${device.slower} times slower than the others of its group`);
  if (device.likeness === 'unlike' && !device.reason) reasons.push('unlike its group');
  if (device.behind && !device.reason) reasons.push('its key table lacks a write');
  return reasons.join('; ');
}

export const needsAttention = (device) => LEVELS[standing(device).level] <= LEVELS.set;

// The page: takes frames, draws at most as often as it can without getting in the way, and asks for a token if needed.

import { Charts } from './charts.js';
import { Devices } from './devices.js';
import { authorization, Feed, token } from './feed.js';
import { clock, duration } from './format.js';
import { GroupFacts, Groups } from './groups.js';
import { Certificates, Commands, Listeners, Timeline, uptime, Workers } from './lists.js';
import { html, render, useEffect, useRef, useState } from './preact.js';
import { Steer } from './steer.js';
import { Store } from './store.js';

const THEME = 'guardian.theme';
const store = new Store();
let welcome = null; // who we are, as the proxy says
let feedState = { name: 'connecting', since: performance.now(), next: 0 };

const feed = new Feed(
  (frame) => {
    if (frame.hello) {
      welcome = frame.hello;
      return true;
    }
    const used = store.take(frame);
    if (used) draw();
    return used;
  },
  (name, next = 0) => {
    const since = feedState.name === name || (name !== 'live' && feedState.name !== 'live' && feedState.name !== 'connecting') ? feedState.since : performance.now();
    const changed = feedState.name !== name || feedState.next !== next;
    feedState = { name, since, next };
    if (changed) draw();
  },
);

// A drawing that takes long is followed by a pause three times as long, so that clicks and keys get their turn.
let asked = false;
let free = 0;
function draw() {
  if (asked) return;
  asked = true;
  const wait = Math.max(0, free - performance.now());
  const go = () => {
    const began = performance.now();
    asked = false;
    render(html`<${Page} />`, document.getElementById('app'));
    const took = performance.now() - began;
    free = performance.now() + took * 3;
  };
  if (wait > 0) setTimeout(() => requestAnimationFrame(go), wait);
  else if (document.hidden) setTimeout(go, 500);
  else requestAnimationFrame(go);
}

function useTheme() {
  const [theme, setTheme] = useState(() => localStorage.getItem(THEME) ?? 'auto');
  const [dark, setDark] = useState(() => matchMedia('(prefers-color-scheme: dark)').matches);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(THEME, theme);
  }, [theme]);
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const heard = () => setDark(query.matches);
    query.addEventListener('change', heard);
    return () => query.removeEventListener('change', heard);
  }, []);
  return [theme, setTheme, `${theme}-${dark}`];
}

function Page() {
  const [theme, setTheme, painted] = useTheme();
  const [picked, pick] = useState('');
  const [order, setOrder] = useState(null);
  const [spoken, setSpoken] = useState('');
  const [, tick] = useState(0);
  const version = useRef('');
  useEffect(() => {
    const timer = setInterval(() => feedState.name !== 'live' && tick((number) => number + 1), 1000);
    const slash = (event) => {
      if (event.key !== '/' || event.target.matches('input, select, textarea') || document.querySelector('dialog[open]')) return;
      event.preventDefault();
      document.getElementById('filter')?.focus();
    };
    addEventListener('keydown', slash);
    return () => {
      clearInterval(timer);
      removeEventListener('keydown', slash);
    };
  }, []);

  if (feedState.name === 'token') return html`<${AskForToken} />`;
  const { state, at } = store;
  if (!state) return html`<div class="notice" role="status">${feedState.name === 'connecting' ? 'Asking the proxy for its state …' : notices(null)}</div>`;
  version.current ||= state.version;

  const names = Object.keys(state.groups);
  const chosen = names.includes(picked) ? picked : names[0];
  const live = feedState.name === 'live';
  const may = welcome?.role === 'operate';
  const now = Math.floor(at / 5) * 5; // rows that only count time are not drawn with each frame
  return html`
    <a class="skip" href="#h-devices">To the devices</a>
    <div class=${live ? '' : 'stale'}>
      <header class="top">
        <span class="brand"><img src="/static/icon.svg" alt="" /><h1>Guardian</h1></span>
        <span class="state ${state.ready ? 'good' : 'bad'}" role="status"><span class="sign" aria-hidden="true">${state.ready ? '●' : '✕'}</span>${state.ready ? 'Ready' : 'Not ready'}</span>
        <span class="facts">${state.state}, ${uptime(state, at)}, version ${state.version}, data path ${state.data_path}</span>
        <span class="spring"></span>
        <span class="feed ${live ? 'live' : 'lost'}" data-feed=${feedState.name}><i aria-hidden="true"></i>${live ? 'Live' : 'Feed lost'} <time class="facts" data-value="at">${clock(at)} UTC</time></span>
        <span class="facts">${welcome ? `${welcome.name}, may ${welcome.role}` : ''}</span>
        ${token.get() && html`<button onClick=${signOut}>Forget the token</button>`}
        <label class="facts">Theme <select value=${theme} onChange=${(event) => setTheme(event.target.value)}>
          <option value="auto">as the system</option><option value="light">light</option><option value="dark">dark</option></select></label>
      </header>
      <section class="notices" aria-label="Notices">
        ${!live && html`<p class="notice bad" role="alert">${notices(at)}</p>`}
        ${state.reasons.map((reason) => html`<p class="notice bad" key=${reason}><strong>Not ready:</strong> ${reason}</p>`)}
        ${version.current !== state.version && html`<p class="notice">The proxy is now version ${state.version}. <button onClick=${() => location.reload()}>Load its page</button></p>`}
      </section>
      <main>
        <div class="column">
          <${Groups} groups=${state.groups} chosen=${chosen} choose=${pick} />
          ${chosen && html`<section class="panel" aria-labelledby="h-group">
            <header><h2 id="h-group">${chosen}</h2><span class="note">as this page has seen it, at most five minutes</span></header>
            <${Charts} key=${chosen} points=${store.history.get(chosen) ?? []} group=${state.groups[chosen]} events=${store.events} theme=${painted} />
            <${GroupFacts} name=${chosen} group=${state.groups[chosen]} />
          </section>`}
          <${Devices} groups=${state.groups} chosen=${chosen} steer=${setOrder} may=${may && live} now=${now} />
          ${chosen && html`<${Commands} name=${chosen} commands=${state.groups[chosen].commands} />`}
        </div>
        <div class="column">
          <${Timeline} events=${store.events} />
          <${Certificates} certificates=${state.certificates} today=${Math.floor(at / 3600) * 3600} />
          <${Listeners} listeners=${state.listeners} />
          ${Object.keys(state.workers).length > 0 && html`<${Workers} workers=${state.workers} now=${now} />`}
        </div>
        <p class="hidden-text" role="status">${spoken}</p>
      </main>
    </div>
    ${order && html`<${Steer} order=${order} groups=${state.groups} at=${at} steer=${setOrder} close=${() => setOrder(null)}
      needToken=${() => feed.onState('token')} announce=${setSpoken} />`}`;
}

function notices(at) {
  const seconds = duration((performance.now() - feedState.since) / 1000);
  const seen = at ? `What you see is from ${clock(at)} UTC. ` : '';
  if (feedState.name === 'forbidden') return html`<strong>You may not see this.</strong> The proxy does not take requests from this page or this token.`;
  const wait = Math.max(0, Math.ceil((feedState.next - performance.now()) / 1000));
  return html`<strong>The feed is lost for ${seconds}.</strong> ${seen}${wait ? `Trying again in ${wait} s.` : 'Trying again now.'} <button onClick=${() => feed.connect()}>Try now</button>`;
}

function signOut() {
  token.forget();
  location.reload();
}

function AskForToken() {
  const [wrong, setWrong] = useState(token.get() ? 'The token is not one that this proxy knows.' : '');
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  const enter = async (event) => {
    event.preventDefault();
    token.set(field.current.value.trim());
    const answer = await fetch('/feed', { method: 'HEAD', headers: authorization() }).catch(() => null);
    if (answer && answer.status === 401) {
      setWrong('The token is not one that this proxy knows.');
      field.current.select();
      return;
    }
    feedState = { name: 'connecting', since: performance.now(), next: 0 };
    feed.connect();
    draw();
  };
  return html`<main><form class="panel token" onSubmit=${enter}>
    <header><h1>Guardian</h1></header>
    <div class="body"><label for="token">This proxy asks for a token</label>
      <input id="token" type="password" autocomplete="off" required ref=${field} aria-describedby="token-note" />
      ${wrong && html`<p class="state bad" role="alert">${wrong}</p>`}
      <p class="note" id="token-note">One of the tokens that its configuration names. It is kept in this tab only, until that is closed.</p>
      <button class="main">Show me</button></div>
  </form></main>`;
}

draw();
feed.connect();

// Two charts of the chosen group, over the last five minutes that this page has seen.

import { level } from './events.js';
import { milliseconds, rate } from './format.js';
import { html, useEffect, useRef } from './preact.js';

const SPAN = 300; // seconds
const LEAST = 60;
const HEIGHT = 150;

// Canvases know no style sheets: the colours are asked of the page, as its theme has them now.
function palette() {
  const probe = document.createElement('span');
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    text: read('--quiet'), grid: read('--line-soft'), main: read('--accent'), other: read('--warn'),
    third: read('--good'), bad: read('--bad'), quiet: read('--quiet'),
  };
  probe.remove();
  return found;
}

const COLOUR_OF = { bad: 'bad', warn: 'other', set: 'main' };

// What happened, as thin lines behind the curves.
function marks(events, colours) {
  return (plot) => {
    const { ctx, bbox } = plot;
    const shown = events.current.filter((event) => COLOUR_OF[level(event)] && event.at >= plot.scales.x.min && event.at <= plot.scales.x.max);
    ctx.save();
    ctx.setLineDash([2, 3]);
    for (const event of shown.slice(-60)) {
      const x = Math.round(plot.valToPos(event.at, 'x', true));
      ctx.strokeStyle = colours[COLOUR_OF[level(event)]];
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };
}

function Chart({ title, lines, data, at, events, theme, text, log }) {
  const place = useRef(null);
  const plot = useRef(null);
  const seen = useRef(events);
  seen.current = events;
  useEffect(() => {
    const colours = palette();
    const axis = { stroke: colours.text, grid: { stroke: colours.grid, width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
    plot.current = new uPlot({
      width: place.current.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { show: false },
      padding: [8, 24, 0, 0],
      scales: {
        x: { time: true, range: (_, min, max) => [max - Math.min(SPAN, Math.max(LEAST, max - min)), max] },
        y: log
          ? { distr: 3, range: (_, min, max) => [10 ** Math.floor(Math.log10(min || 0.1)), 10 ** Math.ceil(Math.log10(Math.max(max || 1, 1)))] }
          : { range: (_, __, max) => [0, Math.max(1, (max || 0) * 1.1)] },
      },
      axes: [
        { ...axis, space: 80, size: 22, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toISOString().slice(11, 19)) },
        { ...axis, size: 52, space: 24, values: (_, ticks) => ticks.map((tick) => (tick === null ? '' : text(tick))) },
      ],
      series: [{}, ...lines.map((line) => ({ stroke: colours[line.colour], width: 1.5, dash: line.dash, spanGaps: false, points: { show: false }, fill: line.fill && `color-mix(in srgb, ${colours[line.colour]} 12%, transparent)` }))],
      hooks: { drawAxes: [marks(seen, colours)] },
    }, data, place.current);
    const watcher = new ResizeObserver(() => plot.current.setSize({ width: place.current.clientWidth, height: HEIGHT }));
    watcher.observe(place.current);
    return () => {
      watcher.disconnect();
      plot.current.destroy();
    };
  }, [theme]);
  useEffect(() => plot.current?.setData(data), [data]);
  const said = lines.map((line) => `${line.name} ${line.now}`).join(', ');
  return html`<div class="chart">
    <h3>${title}${lines.map((line) => html`<span class="key"><svg viewBox="0 0 14 6" aria-hidden="true"><line x1="0" x2="14" y1="3" y2="3"
        style=${{ stroke: `var(--${{ main: 'accent', other: 'warn', third: 'good', bad: 'bad', quiet: 'quiet' }[line.colour]})`, strokeWidth: 2, strokeDasharray: line.dash?.join(' ') }} /></svg>${line.name} <b>${line.now}</b></span>`)}</h3>
    <div class="plot" ref=${place} role="img" aria-label="${title}, last five minutes; now: ${said}"></div>
  </div>`;
}

const column = (points, key) => points.map((point) => point[key] ?? null);

// The points are the store's own list, which grows: `until` is the last of them, and a new one makes new data.
export function Charts({ points, group, events, theme }) {
  const data = useRef({});
  const until = points.at(-1);
  if (data.current.until !== until || data.current.points !== points) {
    const times = points.map((point) => point.at);
    data.current = {
      until, points,
      rates: [times, column(points, 'rate'), column(points, 'failed')],
      times: [times, column(points, 'p99'), column(points, 'p50'), column(points, 'proxy')],
    };
  }
  const { rates, times } = data.current;
  return html`<div class="charts data">
    <${Chart} title="Requests/s" data=${rates} events=${events} theme=${theme} text=${rate} lines=${[
      { name: 'all', colour: 'main', fill: true, now: rate(group.rate) },
      { name: 'not ok', colour: 'bad', now: rate(until?.failed ?? 0) },
    ]} />
    <${Chart} title="Latency" data=${times} events=${events} theme=${theme} text=${(value) => (value >= 1000 ? `${value / 1000} s` : `${value} ms`)} log lines=${[
      { name: 'p99', colour: 'main', now: milliseconds(group.p99_ms) },
      { name: 'p50', colour: 'third', now: milliseconds(group.p50_ms) },
      { name: "proxy's own p99", colour: 'quiet', dash: [4, 3], now: milliseconds(group.proxy_p99_ms) },
    ]} />
  </div>`;
}

/* SPDX-License-Identifier: MIT */
/*
 * The live page. Snapshots come as server-sent events, one a second; rates are differences of two.
 * What names contain is put in as text, never as markup. A connection that is lost comes back: the
 * browser retries by itself, and where it gives up (an answer that is no stream) this does.
 */
'use strict';

const KEPT = 120; /* snapshots in the charts */
const ROWS = 100; /* of the oldest tasks */
const AGAIN_MS = 2000;

const byId = (id) => document.getElementById(id);
const history = { rate: [], p50: [], p99: [] };
let before = null, last = null, source = null, paused = false, again = 0;

/* ---- numbers ---- */

const whole = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

function count(n) {
  return n < 100000 ? whole.format(Math.round(n)) : short.format(n);
}

function rate(n) {
  return n === null ? '–' : n > 0 && n < 9.95 ? n.toFixed(1) : count(n);
}

function time(ms) {
  if (ms < 1)
    return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000)
    return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60)
    return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  if (s < 3600)
    return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400)
    return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

function bytes(n) {
  return n < 1 << 20 ? `${Math.round(n / 1024)} KiB`
    : n < 1 << 30 ? `${(n / (1 << 20)).toFixed(n < 10 << 20 ? 1 : 0)} MiB`
    : `${(n / (1 << 30)).toFixed(1)} GiB`;
}

/* ---- cells ---- */

function cell(text, className, header) {
  const made = document.createElement(header ? 'th' : 'td');
  if (header)
    made.scope = 'row';
  if (className)
    made.className = className;
  made.append(text);
  return made;
}

function number(n, text) {
  return cell(text === undefined ? count(n) : text, n ? 'n' : 'n zero');
}

function tag(word) {
  const made = document.createElement('span');
  made.className = `tag ${word}`;
  made.textContent = word;
  return cell(made);
}

/* What is weft's own stands back behind what is the program's. */
function named(name, own) {
  const made = cell(name || 'all others', name && name.startsWith('wfi_') ? 'inner' : '', true);
  if (own && own !== name) {
    const more = document.createElement('span');
    more.className = 'own';
    more.textContent = own;
    made.append(more);
  }
  return made;
}

function fill(id, rows, columns) {
  const body = byId(id);
  if (!rows.length) {
    const none = cell('none', 'none');
    none.colSpan = columns;
    rows = [[none]];
  }
  body.replaceChildren(...rows.map((cells) => {
    const row = document.createElement('tr');
    row.append(...cells);
    return row;
  }));
}

function put(id, text) {
  const at = byId(id);
  if (at.textContent !== text)
    at.textContent = text;
}

/* ---- what happened between two snapshots ---- */

function seconds() {
  return before ? (last.now_ms - before.now_ms) / 1000 : 0;
}

/* By how much a count grew a second; null when that is not known. */
function grew(now, then) {
  return seconds() > 0 && then !== undefined && now >= then ? (now - then) / seconds() : null;
}

function earlier(list, same) {
  return before ? before[list].find(same) : undefined;
}

/* ---- parts of the page ---- */

function sum(list, of) {
  return list.reduce((total, one) => total + of(one), 0);
}

function showCards() {
  const { server, process, parties, groups, executors } = last;
  const recent = server.recent;
  const perSecond = before ? grew(server.requests, before.server.requests) : null;
  put('requests-rate', rate(perSecond));
  put('requests', count(server.requests));
  put('refused', count(server.refused));
  put('canceled', count(server.canceled));
  const known = recent && recent.count > 0;
  put('p99', known ? time(recent.p99_ms) : '–');
  put('p50', known ? time(recent.p50_ms) : '–');
  put('p90', known ? time(recent.p90_ms) : '–');
  put('max', known ? time(recent.max_ms) : '–');
  put('open', count(server.open));
  put('connections', count(server.connections));
  put('running', count(sum(groups, (g) => g.running)));
  put('pending', count(sum(groups, (g) => g.pending)));
  const ended = sum(executors, (e) => e.ended);
  put('ended-rate', rate(before ? grew(ended, sum(before.executors, (e) => e.ended)) : null));
  put('fibers', count(parties.fibers));
  put('fibers-waiting', count(parties.fibers_waiting));
  put('fibers-ready', count(parties.fibers_ready));
  const cpu = before ? grew(process.cpu_ms, before.process.cpu_ms) : null;
  put('cpu', cpu === null ? '–' : `${Math.round(cpu / 10)} %`);
  put('memory', bytes(process.resident_bytes));
  put('threads', count(process.threads));
  put('descriptors', count(process.descriptors));
  if (process.started_ms)
    put('since', `running for ${time(Date.now() - process.started_ms)}`);
  remember('rate', perSecond);
  remember('p50', known ? recent.p50_ms : null);
  remember('p99', known ? recent.p99_ms : null);
}

function showWorkers() {
  fill('workers', last.workers.map((w) => {
    const then = earlier('workers', (o) => o.runtime === w.runtime && o.index === w.index) || {};
    const per = (key) => {
      const r = grew(w[key], then[key]);
      return number(r, rate(r));
    };
    return [cell(`${w.runtime}_${w.index}`, '', true), tag(w.asleep ? 'asleep' : 'awake'),
      number(w.fibers), number(w.queued + (w.index === 0 ? w.shared : 0)),
      per('switches'), per('jobs'), per('steals'), per('polls'), per('sleeps')];
  }), 9);
}

function showExecutors() {
  fill('executors', last.executors.map((e) => {
    const then = earlier('executors', (o) => o.name === e.name) || {};
    const r = grew(e.ended, then.ended);
    return [cell(e.name, '', true), cell(e.shut ? `${e.engine}, shut down` : e.engine),
      number(e.alive, `${count(e.alive)} of ${count(e.workers)}`), number(e.running),
      number(e.queued), number(r, rate(r)), number(e.ended)];
  }), 7);
}

function showProcesses() {
  byId('processes-section').hidden = !last.processes.length;
  fill('processes', last.processes.map((p) => [cell(`${p.executor}_${p.place}`, '', true),
    cell(String(p.pid), 'n'), tag(p.state), cell(p.task || '–'),
    cell(p.task ? time(p.age_ms) : '–', 'n'), cell(bytes(p.resident_bytes), 'n'),
    number(p.tasks), number(p.restarts)]), 8);
}

function showOffload() {
  const used = last.offload.filter((o) => o.calls > 0);
  byId('offload-section').hidden = !used.length;
  fill('offload', used.map((o) => {
    const then = earlier('offload', (other) => other.name === o.name) || {};
    const r = grew(o.calls, then.calls);
    return [cell(o.name, '', true), number(o.threads, `${o.threads} of ${o.most}`),
      number(o.idle), number(o.queued), number(r, rate(r)), number(o.calls)];
  }), 6);
}

function showGroups() {
  const groups = last.groups.slice().sort((a, b) =>
    b.running + b.pending - a.running - a.pending || (a.name || '').localeCompare(b.name || ''));
  fill('groups', groups.map((g) => {
    const reasons = Object.entries(g.reasons).sort((a, b) => b[1] - a[1])
      .map(([reason, n]) => g.waiting > 1 ? `${reason} ${count(n)}` : reason).join(', ');
    return [named(g.name), cell(g.executor || g.engine || '–'),
      number(g.running), number(g.waiting), number(g.ready), number(g.pending),
      cell(time(g.oldest_ms), 'n'), cell(reasons || '–', reasons ? '' : 'none')];
  }), 8);
}

function showTasks() {
  const wanted = byId('filter').value.trim().toLowerCase();
  const all = last.groups.flatMap((g) => g.tasks);
  const total = sum(last.groups, (g) => g.running + g.pending);
  const found = all.filter((t) => !wanted || [t.name, t.own_name, t.place, t.waits_for, t.executor]
    .some((text) => text && text.toLowerCase().includes(wanted)));
  found.sort((a, b) => b.age_ms - a.age_ms);
  const shown = found.slice(0, ROWS);
  put('tasks-note', `${count(shown.length)} of ${count(total)}`);
  fill('tasks', shown.map((t) => {
    const state = t.asked_to_stop ? 'stopping' : t.state === 'pending' ? 'pending'
      : t.doing || 'running';
    const place = cell(t.place || '–', t.place ? 'mono' : 'none');
    const reason = cell(t.waits_for || '–', t.waits_for ? '' : 'none');
    if (t.object)
      reason.title = `at ${t.object}`;
    return [named(t.name, t.own_name), tag(state), cell(time(t.age_ms), 'n'),
      cell(t.executor || t.engine), place, reason,
      cell(t.waits_for ? time(t.waits_ms) : '–', t.waits_for ? 'n' : 'n none')];
  }), 7);
}

/* ---- charts ---- */

function remember(name, value) {
  history[name].push(value);
  if (history[name].length > KEPT)
    history[name].shift();
}

function shape(kind, points, className) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', kind);
  made.setAttribute('points', points.map(([x, y]) => `${x},${y.toFixed(2)}`).join(' '));
  if (className)
    made.setAttribute('class', className);
  return made;
}

/* Lines with gaps where nothing is known; the newest value is at the right edge. */
function draw(id, lines, top) {
  const shapes = [];
  for (const y of [13, 26, 39.6]) {
    const grid = document.createElementNS('http://www.w3.org/2000/svg', 'line');
    for (const [name, value] of [['x1', 0], ['x2', 120], ['y1', y], ['y2', y]])
      grid.setAttribute(name, value);
    shapes.push(grid);
  }
  lines.forEach(([values, className, filled]) => {
    let run = [];
    const end = () => {
      if (run.length === 1)
        run.push([run[0][0] + 0.5, run[0][1]]);
      if (run.length && filled)
        shapes.push(shape('polygon', [[run[0][0], 40], ...run, [run[run.length - 1][0], 40]]));
      if (run.length)
        shapes.push(shape('polyline', run, className));
      run = [];
    };
    values.forEach((value, i) => {
      if (value === null)
        end();
      else
        run.push([120 - (values.length - 1 - i) * 120 / (KEPT - 1),
          39 - 36 * (top > 0 ? Math.min(1, value / top) : 0)]);
    });
    end();
  });
  byId(id).replaceChildren(...shapes);
}

function showCharts() {
  const largest = (...lists) => Math.max(0, ...lists.flat().filter((v) => v !== null));
  const topRate = largest(history.rate), topTime = largest(history.p50, history.p99);
  put('rate-top', topRate > 0 ? `top ${rate(topRate)}` : '');
  put('latency-top', topTime > 0 ? `top ${time(topTime)}` : '');
  draw('rate-chart', [[history.rate, 'rate', true]], topRate);
  draw('latency-chart', [[history.p50, 'p50', true], [history.p99, 'p99', false]], topTime);
}

/* ---- the stream ---- */

function show() {
  showCards();
  showCharts();
  showWorkers();
  showExecutors();
  showProcesses();
  showOffload();
  showGroups();
  showTasks();
  document.body.dataset.shown = Number(document.body.dataset.shown || 0) + 1;
}

function status(word, className) {
  put('status', word);
  byId('status').className = className;
}

function connect() {
  clearTimeout(again);
  source = new EventSource('events');
  source.onmessage = (event) => {
    const next = JSON.parse(event.data);
    /* Counts begin anew where the program does; and what came in a pause is no rate. */
    const follows = last && next.now_ms > last.now_ms && next.now_ms - last.now_ms < 5000 &&
      next.process.started_ms === last.process.started_ms;
    before = follows ? last : null;
    last = next;
    status('live', 'live');
    show();
  };
  source.onerror = () => {
    status('connection lost, trying again', 'lost');
    if (source.readyState === EventSource.CLOSED)
      again = setTimeout(connect, AGAIN_MS);
  };
}

byId('pause').addEventListener('click', () => {
  paused = !paused;
  byId('pause').setAttribute('aria-pressed', String(paused));
  put('pause', paused ? 'Go on' : 'Pause');
  clearTimeout(again);
  source.close();
  if (paused) {
    status('paused', 'connecting');
  } else {
    status('connecting', 'connecting');
    connect();
  }
});
byId('filter').addEventListener('input', () => { if (last) showTasks(); });

connect();

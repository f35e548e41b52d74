// Measures Vestibule against blind proxies: node bench.js --tools DIR [--out DIR] [--quick]
// [--vestibule NAME=FILE]... [LOAD...]. Prints a table, writes bench.json and plots beside it.
'use strict';
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { token } = require('../e2e/lib/token');
const { Field, DOMAIN, fileLimit } = require('./rivals');
const { lines } = require('./plot');

const { values: flags, positionals: chosen } = parseArgs({
  allowPositionals: true,
  options: {
    tools: { type: 'string' },
    out: { type: 'string' },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    vestibule: { type: 'string', multiple: true, default: [] },
  },
});

const guest = '/xmpp-websocket?room=bench';
const target = `${guest}&token=${token(DOMAIN, 'bench')}`;
// What each load is, and the ratio to nginx that is asked for, then the one that is aimed at.
const loads = {
  one: { what: '50 streams, 1 message of 300 B in flight', kind: 'ping', options: { streams: 50, depth: 1, size: 300 }, asked: [1, 0.95] },
  sixteen: { what: 'the same, 16 in flight', kind: 'ping', options: { streams: 50, depth: 16, size: 300 }, asked: [1, 0.6] },
  large: { what: '20 streams, 4 messages of 8 KB in flight', kind: 'ping', options: { streams: 20, depth: 4, size: 8192 }, asked: [0.4, 0.23] },
  burst: { what: 'bursts of 100 stanzas of 600 B, 20 streams', kind: 'burst', options: { streams: 20 }, asked: [0.6, 0.37] },
  timetable: { what: '10,000 messages of 300 B a second', kind: 'timetable', options: { streams: 50, size: 300, rate: 10000 }, asked: [1.05, 1] },
  connect: { what: 'connect, log in, bind, close; a guest', kind: 'connect', options: { streams: 8, target: guest }, asked: [1.1, 1] },
  token: { what: 'the same with a token, which only Vestibule verifies', kind: 'connect', options: { streams: 8, target } },
  idle: { what: 'memory of an idle stream', asked: [0.3, 0.22] },
  latency: { what: 'latency against load' },
};

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

// Ratios are taken round by round, so that what disturbs a round disturbs both sides of it.
function judge(measured, value) {
  const base = measured.find(({ name }) => name === 'nginx');
  return measured.map((one) => ({
    ...one,
    median: median(value(one)),
    ratio: median(value(one).map((number, round) => number / value(base)[round])),
  }));
}

const ns = (number) => (number >= 100000 ? `${(number / 1000).toFixed(0)} µs` : `${(number / 1000).toFixed(2)} µs`);

function row(name, cells) {
  return [name.padEnd(12), ...cells.map((cell) => String(cell).padStart(16))].join('');
}

function printLoad(name, results, unit) {
  const { what, asked } = loads[name];
  console.log(`\n${what}${asked ? ` (asked: ${asked[0]}, aim: ${asked[1]})` : ''}`);
  console.log(row('', results.map((result) => result.name)));
  console.log(row('cost', results.map((result) => unit(result.median))));
  console.log(row('to nginx', results.map((result) => result.ratio.toFixed(2))));
  if (!results[0].latency_us) return;
  for (const [i, share] of ['50 %', '90 %', '99 %', '99.9 %'].entries()) {
    console.log(row(`${share} in`, results.map((result) => `${result.latency_us[i].toFixed(0)} µs`)));
  }
}

async function withField(dir, tools, binaries, work) {
  const field = new Field(fs.mkdtempSync(path.join(dir, 'field-')), tools, binaries);
  try {
    await field.start();
    return await work(field);
  } finally {
    await field.stop();
    fs.rmSync(field.dir, { recursive: true, force: true });
  }
}

// Each in processes of its own: memory that an earlier load left behind would be used again.
async function measureIdle(place) {
  const most = Math.floor((fileLimit() - 200) / 2);
  const steps = (flags.quick ? [500, 1000, 2000] : [1000, 2000, 5000, 10000, 20000]).filter((step) => step <= most);
  const last = Math.min(most, 20000);
  if (!flags.quick && steps.at(-1) < last) steps.push(last);
  const held = await withField(...place, (field) => field.load('idle', { streams: steps.join(','), settle: flags.quick ? 1000 : 5000, target }));
  return held.map(({ name, before_kb: before, held: points }) => ({
    name, before_kb: before, held: points, bytes: [(points.at(-1)[1] - before) * 1024 / points.at(-1)[0]],
  }));
}

async function measureLatency(field, rounds) {
  const rates = flags.quick ? [2000, 10000, 20000] : [1000, 2000, 5000, 10000, 20000, 30000, 40000];
  const curves = {};
  for (const rate of rates) {
    for (const { name, latency_us: [p50, , p99] } of await field.load('timetable', { streams: 50, size: 300, rate, rounds })) {
      (curves[name] ||= []).push([rate, p50, p99]);
    }
  }
  return Object.entries(curves).map(([name, points]) => ({ name, points }));
}

async function measure(name, place, rounds) {
  const { kind, options } = loads[name];
  if (name === 'idle') {
    const results = judge(await measureIdle(place), (one) => one.bytes);
    printLoad(name, results, (bytes) => `${(bytes / 1024).toFixed(1)} KB`);
    console.log(row('streams', results.map(({ held }) => held.at(-1)[0])));
    return results;
  }
  if (name === 'latency') return withField(...place, (field) => measureLatency(field, Math.ceil(rounds / 4)));
  const results = judge(await withField(...place, (field) => field.load(kind, { ...options, rounds })), (one) => one.cpu_ns);
  printLoad(name, results, ns);
  return results;
}

function plot(out, all) {
  const write = (name, text) => fs.writeFileSync(path.join(out, name), text);
  if (all.latency) {
    write('bench-latency.svg', lines({
      title: 'Latency against load (99 of 100 messages)', x: 'messages a second', y: 'microseconds',
      series: all.latency.map(({ name, points }) => ({ name, points: points.map(([rate, , p99]) => [rate, p99]) })),
      logY: true,
    }));
  }
  if (all.idle) {
    write('bench-memory.svg', lines({
      title: 'Resident memory against idle streams', x: 'streams', y: 'megabytes',
      series: all.idle.map(({ name, before_kb: before, held }) => ({
        name, points: [[0, before / 1024], ...held.map(([streams, kb]) => [streams, kb / 1024])],
      })),
    }));
  }
}

async function main() {
  const out = path.resolve(flags.out || flags.tools);
  const unknown = chosen.filter((name) => !loads[name]);
  if (unknown.length || !flags.tools) throw new Error(`loads are ${Object.keys(loads).join(', ')}; --tools is needed`);
  const binaries = Object.fromEntries(flags.vestibule.map((text) => {
    const [name, file] = text.split('=');
    return [name, path.resolve(file)];
  }));
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-'));
  const rounds = Number(flags.rounds || (flags.quick ? 15 : 60));
  const all = {};
  try {
    for (const name of chosen.length ? chosen : Object.keys(loads)) {
      all[name] = await measure(name, [work, path.resolve(flags.tools), binaries], rounds);
    }
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
  fs.mkdirSync(out, { recursive: true });
  fs.writeFileSync(path.join(out, 'bench.json'), `${JSON.stringify({ rounds, cpus: os.cpus()[0].model, load: os.loadavg(), results: all }, null, 1)}\n`);
  plot(out, all);
  console.log(`\nIn ${path.relative(process.cwd(), out) || '.'}: bench.json${all.latency ? ', bench-latency.svg' : ''}${all.idle ? ', bench-memory.svg' : ''}`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});

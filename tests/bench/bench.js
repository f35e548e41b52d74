// Measures Vestibule against blind proxies: node bench.js --tools DIR [--out DIR] [--quick]
// [--vestibule NAME=FILE]... [LOAD...]. Prints a table, writes bench.json and plots beside it.
'use strict';
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { loads } = require('./measure');
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

const time = (ns) => (ns >= 100000 ? `${(ns / 1000).toFixed(0)} µs` : `${(ns / 1000).toFixed(2)} µs`);
const whole = (number) => Math.round(number).toLocaleString('en');
const row = (name, cells) => [name.padEnd(18), ...cells.map((cell) => String(cell).padStart(14))].join('');

function printHead(name, rivals) {
  const { what, asked } = loads[name];
  console.log(`\n${name}: ${what}${asked ? ` (asked: ${asked[0]}, aim: ${asked[1]})` : ''}`);
  console.log(row('', rivals.map((rival) => rival.name)));
}

function printRounds(name, results) {
  printHead(name, results);
  console.log(row('cost', results.map(({ median }) => time(median))));
  console.log(row('to nginx', results.map(({ ratio }) => ratio.toFixed(2))));
  if (loads[name].isHandshake) {
    console.log(row('in a second', results.map((one) => whole([...one.per_second].sort((a, b) => a - b)[one.per_second.length >> 1]))));
  }
  for (const [i, share] of ['50 %', '90 %', '99 %', '99.9 %'].entries()) {
    console.log(row(`${share} in`, results.map((result) => `${whole(result.latency_us[i])} µs`)));
  }
}

function printIdle(name, results) {
  printHead(name, results);
  console.log(row('cost', results.map(({ median }) => `${(median / 1024).toFixed(1)} KB`)));
  console.log(row('to nginx', results.map(({ ratio }) => ratio.toFixed(2))));
  console.log(row('streams, alive', results.map(({ alive }) => whole(alive))));
}

function printGrowth(name, results) {
  printHead(name, results[0].rivals);
  for (const { load, held, rivals } of results) {
    const what = `${load === 'ping' ? 'message' : 'handshake'}, ${whole(held)}`;
    console.log(row(what, rivals.map(({ median }) => time(median))));
    console.log(row('  to nginx', rivals.map(({ ratio }) => ratio.toFixed(2))));
  }
}

function printLatency(name, results) {
  printHead(name, results);
  for (const [i, [rate]] of results[0].points.entries()) {
    console.log(row(`99 %, ${whole(rate)}/s`, results.map(({ points }) => `${whole(points[i][2])} µs`)));
  }
}

const print = { idle: printIdle, growth: printGrowth, latency: printLatency };

const plots = {
  latency: (results) => lines({
    title: 'Latency against load (99 of 100 messages)', x: 'messages a second', y: 'microseconds', logY: true,
    series: results.map(({ name, points }) => ({ name, points: points.map(([rate, , p99]) => [rate, p99]) })),
  }),
  idle: (results) => lines({
    title: 'Resident memory against idle streams', x: 'streams', y: 'megabytes',
    series: results.map(({ name, before_kb: before, held }) => ({
      name, points: [[0, before / 1024], ...held.map(([streams, kb]) => [streams, kb / 1024])],
    })),
  }),
  growth: (results) => lines({
    title: 'Processor time of a message and of a handshake beside idle streams', x: 'idle streams', y: 'microseconds', logY: true,
    series: ['connect', 'ping'].flatMap((load) => results[0].rivals.map(({ name }) => ({
      name: `${name}, ${load === 'ping' ? 'message' : 'handshake'}`,
      points: results.filter((step) => step.load === load)
        .map(({ held, rivals }) => [held, rivals.find((rival) => rival.name === name).median / 1000]),
    }))),
  }),
};
const plotFiles = { latency: 'bench-latency.svg', idle: 'bench-memory.svg', growth: 'bench-growth.svg' };

function write(out, rounds, all) {
  const files = ['bench.json'];
  fs.mkdirSync(out, { recursive: true });
  fs.writeFileSync(path.join(out, files[0]),
    `${JSON.stringify({ rounds, cpus: os.cpus()[0].model, load: os.loadavg(), results: all }, null, 1)}\n`);
  for (const name of Object.keys(plots).filter((plot) => all[plot])) {
    files.push(plotFiles[name]);
    fs.writeFileSync(path.join(out, plotFiles[name]), plots[name](all[name]));
  }
  console.log(`\nIn ${path.relative(process.cwd(), out) || '.'}: ${files.join(', ')}`);
}

async function main() {
  const unknown = chosen.filter((name) => !loads[name]);
  if (unknown.length || !flags.tools) throw new Error(`loads are ${Object.keys(loads).join(', ')}; --tools is needed`);
  const place = {
    dir: fs.mkdtempSync(path.join(os.tmpdir(), 'bench-')),
    tools: path.resolve(flags.tools),
    binaries: Object.fromEntries(flags.vestibule.map((text) => {
      const [name, file] = text.split('=');
      return [name, path.resolve(file)];
    })),
    quick: flags.quick,
    rounds: Number(flags.rounds || (flags.quick ? 15 : 60)),
  };
  const all = {};
  try {
    for (const name of chosen.length ? chosen : Object.keys(loads)) {
      all[name] = await loads[name].run(place);
      (print[name] || printRounds)(name, all[name]);
    }
  } finally {
    fs.rmSync(place.dir, { recursive: true, force: true });
  }
  write(path.resolve(flags.out || flags.tools), place.rounds, all);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});

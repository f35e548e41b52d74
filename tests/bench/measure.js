// The loads: what each is, and how what the load generator says of it becomes numbers to print.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { token } = require('../e2e/lib/token');
const { Field, DOMAIN, fileLimit } = require('./rivals');

const guest = '/xmpp-websocket?room=bench';
const target = `${guest}&token=${token(DOMAIN, 'bench')}`;

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

// Ratios are taken round by round, so that what disturbs a round disturbs both sides of it.
function judge(measured, value = (one) => one.cpu_ns) {
  const base = measured.find(({ name }) => name === 'nginx');
  return measured.map((one) => ({
    ...one,
    median: median(value(one)),
    ratio: median(value(one).map((number, round) => number / value(base)[round])),
  }));
}

async function withField({ dir, tools, binaries }, only, work) {
  const field = new Field(fs.mkdtempSync(path.join(dir, 'field-')), tools, binaries, only);
  try {
    await field.start();
    return await work(field);
  } finally {
    await field.stop();
    fs.rmSync(field.dir, { recursive: true, force: true });
  }
}

const everyone = () => true;

function rounds(kind, options) {
  return (place) => withField(place, everyone,
    async (field) => judge(await field.load(kind, { ...options, rounds: place.rounds })));
}

// Steps that the files allow: two for each stream. A proxy has them, and so have load and upstream where
// two rivals hold streams at the same time. spare: what else needs files, such as streams that close.
function upTo(steps, each, spare) {
  const most = Math.floor((fileLimit() - spare) / each / 100) * 100;
  return steps.at(-1) <= most ? steps : [...steps.filter((step) => step < most), most];
}

// Each in processes of its own: memory that an earlier load left behind would be used again.
async function idle(place) {
  const steps = upTo(place.quick ? [500, 1000, 2000] : [1000, 2000, 5000, 10000, 20000], 2, 200);
  const options = { streams: steps.join(','), settle: place.quick ? 1000 : 5000, target };
  const held = await withField(place, everyone, (field) => field.load('idle', options));
  return judge(held.map((one) => {
    const [streams, kb] = one.held.at(-1);
    if (one.alive !== streams) throw new Error(`${one.name}: ${one.alive} of ${streams} streams are alive`);
    return { ...one, bytes: [(kb - one.before_kb) * 1024 / streams] };
  }), (one) => one.bytes);
}

async function latency(place) {
  const rates = place.quick ? [2000, 10000, 20000] : [1000, 2000, 5000, 10000, 20000, 30000, 40000];
  const curves = {};
  await withField(place, everyone, async (field) => {
    for (const rate of rates) {
      const options = { streams: 50, size: 300, rate, rounds: Math.ceil(place.rounds / 4) };
      for (const { name, latency_us: [p50, , p99] } of await field.load('timetable', options)) {
        (curves[name] ||= []).push([rate, p50, p99]);
      }
    }
  });
  return Object.entries(curves).map(([name, points]) => ({ name, points }));
}

// Vestibule and nginx only: all rivals' streams are held at the same time, by one upstream.
async function growth(place) {
  const names = [...Object.keys(place.binaries), 'nginx'];
  const steps = upTo(place.quick ? [100, 1000, 3000] : [100, 1000, 5000, 10000], Math.max(names.length, 2), 1200);
  const options = { streams: steps.join(','), rounds: Math.ceil(place.rounds / 2), target: guest };
  const lines = await withField(place, (name) => names.includes(name), (field) => field.load('growth', options));
  return ['ping', 'connect'].flatMap((load) => steps.map((held) => ({
    load, held, rivals: judge(lines.filter((line) => line.load === load && line.held === held)),
  })));
}

// Beside each load the ratio to nginx that is asked for, and the one that is aimed at.
const loads = {
  one: { what: '50 streams, 1 message of 300 B in flight', asked: [1, 0.95], run: rounds('ping', { streams: 50, size: 300 }) },
  sixteen: { what: 'the same, 16 in flight', asked: [1, 0.6], run: rounds('ping', { streams: 50, depth: 16, size: 300 }) },
  large: { what: '20 streams, 4 messages of 8 KB in flight', asked: [0.4, 0.23], run: rounds('ping', { streams: 20, depth: 4, size: 8192 }) },
  burst: { what: 'bursts of 100 stanzas of 600 B, 20 streams', asked: [0.6, 0.37], run: rounds('burst', { streams: 20 }) },
  timetable: { what: '10,000 messages of 300 B a second', asked: [1.05, 1], run: rounds('timetable', { streams: 50, size: 300, rate: 10000 }) },
  connect: { what: 'connect, log in, bind, close; a guest', asked: [1.1, 1], isHandshake: true, run: rounds('connect', { streams: 8, target: guest }) },
  token: { what: 'the same with a token, which only Vestibule verifies', isHandshake: true, run: rounds('connect', { streams: 8, target }) },
  storm: { what: '200 with a token at once: connect, log in, bind, join; then all leave', isHandshake: true, run: rounds('storm', { streams: 200, target }) },
  join: { what: 'the join alone, there and back, 50 streams with a token', run: rounds('join', { streams: 50, target }) },
  idle: { what: 'memory of an idle stream', asked: [0.3, 0.22], run: idle },
  growth: { what: 'a message, and a handshake, beside idle streams', run: growth },
  latency: { what: 'latency against load', run: latency },
};

module.exports = { loads };

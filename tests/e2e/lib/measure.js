// What a long run measures of a process, and how it is told.
'use strict';
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

// Memory that a sanitizer keeps back after it was freed is not the program's.
const SMALL_QUARANTINE = {
  ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'quarantine_size_mb=1:thread_local_quarantine_size_kb=64'].filter(Boolean).join(':'),
};

const residentKiB = (pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
const threads = (pid) => fs.readdirSync(`/proc/${pid}/task`).length;
// What stands behind descriptors: those that wait for another socket (proxy/carrier.h) share one thing.
const openFiles = (pid) => new Set(fs.readdirSync(`/proc/${pid}/fd`).map((fd) => {
  try {
    return fs.readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return undefined; // closed meanwhile
  }
})).size;

// Processor time it took so far, in ms.
function processorMs(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const hardFileLimit = () => {
  const text = execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
  return text === 'unlimited' ? Infinity : Number(text);
};

// The value below which that share of them lies.
function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] : 0;
}

// Runs as many at once as are given, over all of the list.
async function inParallel(list, width, work) {
  let next = 0;
  await Promise.all(Array.from({ length: Math.min(width, list.length) }, async () => {
    while (next < list.length) await work(list[next++]);
  }));
}

// A soak of its class: made with the options, started, run to what it measured, and stopped whatever came of it.
const soakOf = (Run) => async (options = {}) => {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const run = new Run({ log: () => {}, ...Object.fromEntries(given) });
  try {
    await run.start();
    return await run.run();
  } finally {
    await run.stop();
  }
};

// A soak's program: run(argument...) gives what it measured, with wrong: a list that is empty when all was well.
function main(file, run) {
  const log = (text) => console.log(`${path.basename(file)}: ${text}`);
  run(process.argv.slice(2).map(Number), log).then((measured) => {
    console.log(JSON.stringify(measured, null, 2));
    if (measured.wrong.length || measured.lost || measured.duplicated || measured.rooms_leaked) process.exitCode = 1;
  }, (error) => {
    console.error(error);
    process.exitCode = 1;
  });
}

module.exports = { SMALL_QUARANTINE, residentKiB, threads, openFiles, processorMs, hardFileLimit, percentile, inParallel, soakOf, main };

#!/usr/bin/env node
// Adds up what the suites of ./dev test reported and prints "N passed, N failed" as the last line.
//
// A cmocka program counts case by case, another test of meson's as one, a node suite as its TAP report
// says. A suite that ended badly without a failed case to show for it (a crash, a leak at exit, a build
// error) counts as one failure: a report cannot hide what the exit code says.
'use strict';
const fs = require('fs');
const path = require('path');

const [reports, testlog] = process.argv.slice(2);
const suites = new Map(); // name -> {passed, failed, skips}

function suite(name) {
  if (!suites.has(name)) suites.set(name, { passed: 0, failed: 0, skips: [] });
  return suites.get(name);
}

function count(text, pattern) {
  return (text.match(pattern) || []).length;
}

function addMesonTest(test) {
  const total = suite('unit');
  const output = `${test.stdout || ''}\n${test.stderr || ''}`;
  const started = count(output, /^\[ RUN {6}\]/gm);
  const ok = count(output, /^\[ {7}OK \]/gm);
  const skipped = output.match(/^\[ {2}SKIPPED \] \S+$/gm) || [];
  const good = test.result === 'OK' || test.result === 'EXPECTEDFAIL';
  if (test.result === 'SKIP') {
    total.skips.push(`${test.name}: ${output.trim().split('\n').pop() || 'no reason given'}`);
    return;
  }
  // cmocka lists what it skipped a second time in its summary.
  const names = new Set(skipped.map((line) => line.split('] ')[1]));
  for (const name of names) total.skips.push(`${test.name}: ${name}`);
  const failed = started - ok - names.size;
  total.passed += started > 0 ? ok : Number(good);
  total.failed += Math.max(started > 0 ? failed : 0, good ? 0 : 1);
}

function addTap(name, text) {
  const total = suite(name);
  const summary = (word) => {
    const found = text.match(new RegExp(`^# ${word} (\\d+)$`, 'm'));
    return found ? Number(found[1]) : null;
  };
  if (summary('pass') === null) {
    console.log(`${name}: the report breaks off`);
    total.failed += 1;
    return;
  }
  total.passed += summary('pass');
  total.failed += summary('fail') + (summary('cancelled') || 0);
  for (const line of text.match(/^ *(not )?ok \d+ .* # (SKIP|TODO).*$/gm) || []) {
    total.skips.push(line.trim().replace(/^(not )?ok \d+ - /, '').replace(/ # (SKIP|TODO) ?/, ': '));
  }
}

if (fs.existsSync(testlog)) {
  for (const line of fs.readFileSync(testlog, 'utf8').split('\n')) {
    if (line) addMesonTest(JSON.parse(line));
  }
}
for (const file of fs.readdirSync(reports).sort()) {
  const name = path.parse(file).name;
  if (file.endsWith('.tap')) addTap(name, fs.readFileSync(path.join(reports, file), 'utf8'));
}
for (const file of fs.readdirSync(reports).sort()) {
  if (!file.endsWith('.exit')) continue;
  const name = path.parse(file).name;
  const code = fs.readFileSync(path.join(reports, file), 'utf8').trim();
  if (code !== '0' && suite(name).failed === 0) {
    console.log(`${name}: ended with exit code ${code}`);
    suite(name).failed = 1;
  }
}

let passed = 0;
let failed = 0;
for (const [name, total] of suites) {
  if (name !== 'build' || total.failed > 0) {
    console.log(`${name}: ${total.passed} passed, ${total.failed} failed, ${total.skips.length} skipped`);
  }
  for (const skip of total.skips) console.log(`  skipped: ${skip}`);
  passed += total.passed;
  failed += total.failed;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

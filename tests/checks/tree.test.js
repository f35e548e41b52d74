// Rules about the tree itself: which folder may include what, and what no file may name.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');

const root = path.resolve(__dirname, '..', '..');
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
}).split('\n').filter((name) => name && fs.existsSync(path.join(root, name)));
const isText = (name) => !name.startsWith('tests/fuzz/corpus/') && !/\.(png|ico|der|bin)$/.test(name);
const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');

// Lines of the named files that match, as "file:line: text".
function grep(names, pattern) {
  return names.flatMap((name) =>
    read(name).split('\n')
      .map((line, index) => [line, index])
      .filter(([line]) => pattern.test(line))
      .map(([line, index]) => `${name}:${index + 1}: ${line.trim()}`));
}

// What stands in design order: a folder includes its own headers and those to its left.
const layers = ['xmpp', 'policy', 'proxy'];
const libraries = {
  xmpp: /^#include <(libwebsockets|uv|jwt|jansson|openssl\/|cyaml|yaml|systemd\/|sqlite3)/,
  policy: /^#include <(libwebsockets|uv|cyaml|yaml|systemd\/|sqlite3|gsasl|sys\/socket|netinet)/,
  certs: /^#include (<(libwebsockets|uv|jwt|gsasl|libxml)|"(xmpp|policy|proxy)\/)/,
};

for (const [index, layer] of layers.entries()) {
  const above = layers.slice(index + 1);
  if (above.length === 0) continue;
  test(`${layer}/ includes nothing from ${above.join(' or ')}/`, () => {
    const own = files.filter((name) => new RegExp(`^${layer}/.*\\.[ch]$`).test(name));
    assert.ok(own.length > 0);
    assert.deepEqual(grep(own, new RegExp(`#include "(\\.\\./)?(${above.join('|')})/`)), []);
  });
}

for (const [folder, forbidden] of Object.entries(libraries)) {
  test(`${folder}/ uses only its own libraries`, () => {
    const own = files.filter((name) => new RegExp(`^${folder}/.*\\.[ch]$`).test(name));
    assert.deepEqual(grep(own, forbidden), []);
  });
}

test('no file names the machine it was written on', () => {
  // Where this checkout lies is a fact of the machine, unless it is a folder every machine has.
  const everywhere = ['', 'tmp', 'usr', 'var', 'home', 'root', 'opt', 'srv', 'src', 'mnt', 'build'];
  const top = root.split('/')[1];
  const places = [`${root}/`, `(?:^|[^\\w.])/(?:home|Users)/\\w+/`];
  if (!everywhere.includes(top)) places.push(`(?:^|[^\\w.-])/${top}/`);
  if (os.hostname().length > 5 && os.hostname() !== 'localhost') places.push(`\\b${os.hostname()}\\b`);
  assert.deepEqual(grep(files.filter(isText), new RegExp(places.join('|'))), []);
});

test('no file names a package registry\'s host', () => {
  const hosts = /\b(registry|deb|security|proxy|files)\.(npmjs|yarnpkg|debian|golang|pythonhosted)\b|https?:\/\/(registry|deb|security)\./;
  const names = files.filter((name) => isText(name) && name !== 'tests/checks/tree.test.js');
  assert.deepEqual(grep(names, hosts), []);
});

test('scripts can be run', () => {
  const scripts = files.filter((name) => /^(dev|\.ci\/run|.*\.sh)$/.test(name));
  const blocked = scripts.filter((name) => (fs.statSync(path.join(root, name)).mode & 0o111) === 0);
  assert.deepEqual(blocked, []);
});

test('relative links in the documents lead somewhere', () => {
  const broken = [];
  for (const name of files.filter((file) => file.endsWith('.md'))) {
    for (const [, target] of read(name).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const place = path.join(root, path.dirname(name), target);
      if (!fs.existsSync(place)) broken.push(`${name}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('files that the documents name exist', () => {
  const missing = [];
  for (const name of files.filter((file) => file.endsWith('.md'))) {
    for (const [, target] of read(name).matchAll(/`((?:proxy|policy|xmpp|certs|tests|tools|docs|packaging)\/[\w./-]+)`/g)) {
      if (!fs.existsSync(path.join(root, target))) missing.push(`${name}: ${target}`);
    }
  }
  assert.deepEqual(missing, []);
});

test('the tests that the threat model names are there', () => {
  const cells = read('docs/threat-model.md').split('\n').filter((line) => /^\|.*\|$/.test(line))
    .map((line) => line.split('|').at(-2));
  const named = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]));
  const place = (name) => name.startsWith('test_') ? `tests/unit/${name}.c`
    : name.startsWith('fuzz_') ? `tests/fuzz/${name}.c` : `tests/e2e/scenarios/${name}`;
  assert.ok(named.length > 20);
  assert.deepEqual(named.filter((name) =>
    !['', '.test.js'].some((end) => fs.existsSync(path.join(root, place(name) + end)))), []);
});

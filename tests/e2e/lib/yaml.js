// Configuration as YAML: objects become blocks, every other value is written as JSON, which YAML reads.
'use strict';

const isBlock = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

function toYaml(value, indent = '') {
  return Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .map(([name, item]) => (isBlock(item)
      ? `${indent}${name}:\n${toYaml(item, `${indent}  `)}`
      : `${indent}${name}: ${JSON.stringify(item)}\n`))
    .join('');
}

// base with what over says put on top; undefined takes a key away.
function merge(base, over = {}) {
  const merged = { ...base };
  for (const [name, value] of Object.entries(over)) {
    merged[name] = isBlock(value) && isBlock(base[name]) ? merge(base[name], value) : value;
  }
  return merged;
}

module.exports = { toYaml, merge };

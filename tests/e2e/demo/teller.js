// Lines of the demo's story, each with the time since it began and, where something was waited for, how
// long that took.
'use strict';

const start = process.hrtime.bigint();
const isColoured = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code, text) => (isColoured ? `\x1b[${code}m${text}\x1b[0m` : text);

function stamp() {
  return `${(Number(process.hrtime.bigint() - start) / 1e9).toFixed(2).padStart(7)} s`;
}

function tell(who, text, ms) {
  const took = ms === undefined ? '' : paint('2', `  (${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms)`);
  console.log(`${paint('2', stamp())}  ${paint('1', who.padEnd(10))} ${text}${took}`);
}

function chapter(text) {
  console.log(`\n${paint('4', text)}`);
}

// key=value and key="value" of a log line.
function fields(line) {
  return Object.fromEntries([...line.matchAll(/(\w+)=(?:"([^"]*)"|(\S+))/g)]
    .map(([, name, quoted, plain]) => [name, quoted ?? plain]));
}

// A line of Vestibule's own log: what it decided for whom, why, and how long that took.
function decision(line) {
  const { room, applicant, rule, reason, outcome, held_ms: held } = fields(line);
  const text = / join /.test(line) && rule
    ? `${room.split('@')[0]}, ${applicant} user: ${reason}; ${outcome} after ${held} ms (rule ${rule})`
    : line.replace(/^\S+ +[A-Z]+ +(\[[^\]]*\] )?/, '');
  console.log(`${paint('2', stamp())}  ${paint('36', `Vestibule  ${text}`)}`);
}

module.exports = { tell, chapter, decision };

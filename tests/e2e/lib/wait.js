// Waiting for what happens, never for time to pass: a limit is only there to say what did not happen.
'use strict';

// The promise, or an error that says what was awaited and what was there instead (a function's text).
function within(ms, what, promise, instead = () => '') {
  return new Promise((resolve, reject) => {
    const asked = new Error(`waited ${ms} ms in vain for ${what}`);
    const timer = setTimeout(() => {
      asked.message += `; instead:\n${instead()}`;
      reject(asked);
    }, ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

// The time a thing took, with its result: [result, ms].
async function timed(promise) {
  const start = process.hrtime.bigint();
  const result = await promise;
  return [result, Number(process.hrtime.bigint() - start) / 1e6];
}

module.exports = { within, timed };

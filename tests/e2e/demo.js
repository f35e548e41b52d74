#!/usr/bin/env node
// The demo: Prosody, nginx with a development certificate, Vestibule and a cast of users, told line by
// line as it happens. With --check it ends when the story does, and its exit code says whether all went
// as it should; else everything stays up until Ctrl-C.
'use strict';
const { Cast } = require('./demo/cast');
const { stage } = require('./demo/stages');
const teller = require('./demo/teller');

async function tellStory(deployment, ended) {
  await Promise.race([deployment.start(), ended]);
  deployment.follow(teller.decision);
  console.log(`${deployment.description}\n`);
  await Promise.race([new Cast(deployment, teller).play('planning'), ended]);
}

async function main(isCheck) {
  const deployment = stage();
  let interrupted = false;
  // Ctrl-C reaches the programs too: what they say about it is not a fault of theirs.
  const ended = new Promise((resolve, reject) => {
    for (const name of ['SIGINT', 'SIGTERM']) {
      process.on(name, () => {
        interrupted = true;
        reject(new Error('stopped'));
      });
    }
  });
  ended.catch(() => {});

  let code = 0;
  try {
    await tellStory(deployment, ended);
    console.log('\nAll went as it should.');
    if (!isCheck) {
      console.log('Everything stays up; Ctrl-C stops it.');
      const awake = setInterval(() => {}, 60000);
      await ended.finally(() => clearInterval(awake));
    }
  } catch (error) {
    if (!interrupted) console.error(`\nNot as it should: ${error.message}`);
    code = 1;
  }
  try {
    await deployment.stop();
  } catch (error) {
    if (!interrupted) {
      console.error(error.message);
      code = 1;
    }
  }
  if (interrupted) {
    console.log('\nstopped');
    code = isCheck ? 1 : 0;
  }
  process.exitCode = code;
}

const known = ['--check'];
const unknown = process.argv.slice(2).filter((word) => !known.includes(word));
if (unknown.length) {
  console.error(`demo: unknown option ${unknown[0]}; there is only --check`);
  process.exitCode = 2;
} else {
  main(process.argv.includes('--check'));
}

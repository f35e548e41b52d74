// Park and Miller's generator: the same choices for the same seed; when they meet is the machine's.
'use strict';

function randomOf(seed) {
  let state = seed;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}

module.exports = { randomOf };

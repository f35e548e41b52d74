'use strict';
const { describe } = require('node:test');

describe('relay-backpressure', () => {});

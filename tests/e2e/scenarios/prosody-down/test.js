'use strict';
const { describe } = require('node:test');

describe('prosody-down', () => {});

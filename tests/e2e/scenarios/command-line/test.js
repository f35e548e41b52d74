'use strict';
const { describe } = require('node:test');

describe('command-line', () => {});

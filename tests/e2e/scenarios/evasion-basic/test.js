'use strict';
const { describe } = require('node:test');

describe('evasion-basic', () => {});

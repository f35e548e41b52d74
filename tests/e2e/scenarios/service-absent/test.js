'use strict';
const { describe } = require('node:test');

describe('service-absent', () => {});

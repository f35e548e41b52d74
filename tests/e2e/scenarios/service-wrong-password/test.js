'use strict';
const { describe } = require('node:test');

describe('service-wrong-password', () => {});

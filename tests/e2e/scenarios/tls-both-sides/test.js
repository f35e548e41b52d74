'use strict';
const { describe } = require('node:test');

describe('tls-both-sides', () => {});

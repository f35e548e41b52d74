// Tokens and logins are judged by BOSH as by WebSocket: the same scenarios again.
'use strict';
process.env.E2E_TRANSPORT = 'bosh';
require('../tokens/test');
require('../evasion/login.test');
require('../pipelined/test');

// Streams are resumed by BOSH as by WebSocket: the same scenarios again.
'use strict';
process.env.E2E_TRANSPORT = 'bosh';
require('../resumption/test');

// Whatever is decided for users of WebSockets is decided for those of BOSH: the same scenarios again.
'use strict';
process.env.E2E_TRANSPORT = 'bosh';
require('../lobby-on/test');
require('../lobby-people/test');
require('../lobby-moderator/test');
require('../missing-room/test');

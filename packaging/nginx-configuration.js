// Prints the nginx configuration of the end-to-end tests for a container: see nginx.sh.
'use strict';
const path = require('node:path');
const { configuration } = require('../tests/e2e/lib/nginx');

const { XMPP_DOMAIN: domain, NGINX_PORT: port, NGINX_BACKEND: backend, CERTIFICATES: folder } = process.env;
process.stdout.write(configuration({
  dir: process.argv[2], domain, port, backend, address: '0.0.0.0',
  tls: { certificate: path.join(folder, `${domain}.crt`), key: path.join(folder, `${domain}.key`) },
}));

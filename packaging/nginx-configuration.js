// Prints the nginx configuration of the end-to-end tests for a container: see nginx.sh. With variables
// in proxy_pass nginx would look the backend's name up at each request, by a resolver of its own; the
// group has it looked up as everybody else does.
'use strict';
const path = require('node:path');
const { configuration } = require('../tests/e2e/lib/nginx');

const { XMPP_DOMAIN: domain, NGINX_PORT: port, NGINX_BACKEND: backend, CERTIFICATES: folder } = process.env;
process.stdout.write(configuration({
  dir: process.argv[2], domain, port, address: '0.0.0.0',
  backend: 'http://backend', group: { name: 'backend', server: backend },
  tls: { certificate: path.join(folder, `${domain}.crt`), key: path.join(folder, `${domain}.key`) },
}));

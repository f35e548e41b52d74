// A real nginx with TLS in front, set up as the README tells operators to.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { Program } = require('./process');

// group: {name, server}, when backend is a name that nginx is to look up once, at its start. http: more lines
// for the http block.
function configuration({ dir, domain, address = '127.0.0.1', port, tls, backend, group, headers, http }) {
  return `
daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr notice;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  ${group ? `upstream ${group.name} { server ${group.server}; }` : ''}
${http || ''}
  server {
    listen ${address}:${port} ssl;
    server_name ${domain};
    ssl_certificate ${tls.certificate};
    ssl_certificate_key ${tls.key};
    set $prefix "";
    location ~ ^/([^/?&:'"]+)/xmpp-websocket$ {
      set $prefix "$1";
      rewrite ^ /xmpp-websocket;
    }
    location ~ ^/([^/?&:'"]+)/http-bind$ {
      set $prefix "$1";
      rewrite ^ /http-bind;
    }
    location = /http-bind {
      proxy_pass ${backend}/http-bind?prefix=$prefix&$args;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host ${domain};
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_buffering off;
      proxy_read_timeout 120s;
      tcp_nodelay on;
    }
    location = /_api/room-info {
      proxy_pass ${backend}/room-info?prefix=$prefix&$args;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host ${domain};
      proxy_set_header X-Forwarded-For $remote_addr;
    }
    location = /conference-request {
      proxy_pass ${backend}/conference-request?prefix=$prefix&$args;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host ${domain};
      proxy_set_header X-Forwarded-For $remote_addr;
    }
    location = /xmpp-websocket {
      proxy_pass ${backend}/xmpp-websocket?prefix=$prefix&$args;
      proxy_http_version 1.1;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host ${domain};
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_read_timeout 900s;
      tcp_nodelay on;
      ${headers || ''}
    }
  }
}
`;
}

class Nginx {
  // place: {dir, domain, port, tls, backend, http}; backend as in proxy_pass, without the path.
  constructor(place) {
    Object.assign(this, place);
  }

  async start() {
    fs.mkdirSync(this.dir, { recursive: true });
    const file = path.join(this.dir, 'nginx.conf');
    fs.writeFileSync(file, configuration(this));
    this.program = new Program('nginx', process.env.NGINX || '/usr/sbin/nginx', ['-p', this.dir, '-e', 'stderr', '-c', file]);
    await this.program.waitForLine(/start worker process \d+/);
    return this;
  }

  async stop() {
    if (this.program) await this.program.stop();
  }
}

module.exports = { Nginx, configuration };

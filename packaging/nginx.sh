#!/bin/sh
# nginx in its container, with the configuration that the tests and the demo use.
# Environment: XMPP_DOMAIN, NGINX_PORT, NGINX_BACKEND (HOST:PORT), CERTIFICATES (a folder).
set -eu
dir=/tmp/nginx
mkdir -p "$dir"
node "$(dirname "$0")/nginx-configuration.js" "$dir" >"$dir/nginx.conf"
exec /usr/sbin/nginx -p "$dir" -e stderr -c "$dir/nginx.conf"

#!/bin/sh
# Makes a development CA and certificates for servers, for the demo and the tests. Nothing it makes is
# committed, and none of it belongs on a machine that others reach: the CA's key lies beside it.
#
# Running it again adds what is missing and keeps what is there, so that a browser or a test that has
# been told to trust the CA still does.
set -eu

usage() {
    cat <<'END'
usage: make-dev-ca.sh [--force] DIR NAME...

Writes into DIR (made if missing):
  ca.crt, ca.key        a development CA
  NAME.crt, NAME.key    for each NAME, a DNS name or an IP address: a certificate of that CA,
                        good for NAME, localhost and 127.0.0.1

Files that are there already are kept. --force makes all of them anew, the CA too.
END
}

fail() {
    echo "make-dev-ca.sh: $*" >&2
    exit 1
}

force=no
case "${1-}" in
--force) force=yes; shift ;;
-h | --help) usage; exit 0 ;;
-*) usage >&2; exit 2 ;;
esac
[ $# -ge 2 ] || { usage >&2; exit 2; }
command -v openssl >/dev/null || fail "openssl is needed and not installed"

dir=$1
shift
# Names become file names and lines of openssl's configuration.
for name in "$@"; do
    case "$name" in
    '' | [!A-Za-z0-9:]* | *[!A-Za-z0-9.:_-]* | ca)
        fail "not a DNS name or an IP address: '$name'" ;;
    esac
done

mkdir -p "$dir"
umask 077
work=$(mktemp -d "$dir/.make-dev-ca.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# run WHAT COMMAND...: quiet unless it fails.
run() {
    what=$1
    shift
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "could not make $what"; }
}

# wanted BASE: whether BASE.crt and BASE.key are to be made. Half a pair is somebody's mistake.
wanted() {
    [ "$force" = no ] || return 0
    if [ -e "$dir/$1.crt" ] && [ -e "$dir/$1.key" ]; then
        return 1
    fi
    if [ -e "$dir/$1.crt" ] || [ -e "$dir/$1.key" ]; then
        fail "of $dir/$1.crt and $1.key only one is there; remove it or use --force"
    fi
}

# Moves a finished pair into place, so that a half-made one is never found there.
install_pair() {
    chmod 600 "$work/new.key"
    chmod 644 "$work/new.crt"
    mv -f "$work/new.key" "$dir/$1.key"
    mv -f "$work/new.crt" "$dir/$1.crt"
    echo "made $dir/$1.crt"
}

new_key() {
    run "$1.key" openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/new.key"
}

make_ca() {
    cat >"$work/ca.cnf" <<'END'
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = Vestibule development CA
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
    new_key ca
    run ca.crt openssl req -x509 -new -sha256 -days 3650 -config "$work/ca.cnf" \
        -key "$work/new.key" -out "$work/new.crt"
    install_pair ca
}

make_leaf() {
    case "$1" in
    *:* ) san="IP:$1" ;;
    *[!0-9.]* ) san="DNS:$1" ;;
    * ) san="IP:$1" ;;
    esac
    # A CN holds 64 characters; nobody reads it where there are alternative names.
    cat >"$work/leaf.cnf" <<END
[req]
prompt = no
distinguished_name = name
[name]
CN = $(printf %.64s "$1")
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $san, DNS:localhost, IP:127.0.0.1
END
    new_key "$1"
    run "$1.csr" openssl req -new -sha256 -config "$work/leaf.cnf" \
        -key "$work/new.key" -out "$work/new.csr"
    run "$1.crt" openssl x509 -req -sha256 -days 825 -in "$work/new.csr" \
        -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
        -extfile "$work/leaf.cnf" -extensions extensions -out "$work/new.crt"
    install_pair "$1"
}

if wanted ca; then
    make_ca
else
    echo "kept $dir/ca.crt"
fi
for name in "$@"; do
    if wanted "$name"; then
        make_leaf "$name"
    elif openssl verify -CAfile "$dir/ca.crt" "$dir/$name.crt" >"$work/log" 2>&1; then
        echo "kept $dir/$name.crt"
    else
        fail "$dir/$name.crt has expired or is of another CA; remove it and $name.key, or use --force"
    fi
done

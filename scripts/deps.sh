#!/bin/sh
# Installs what the tests run against, if it is missing: nginx, HAProxy, Prometheus, a headless Chromium, and what attacks and examines a server. With
# `bench` as its argument also what only benchmarks need: Caddy and h2load.
set -eu
missing=
optional=
# need PROGRAM PACKAGE
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
need nginx nginx-light
need haproxy haproxy
need chromium chromium
need sslscan sslscan
need slowhttptest slowhttptest
need prometheus prometheus
if [ "${1:-}" = bench ]; then
	need h2load nghttp2-client
	command -v caddy >/dev/null 2>&1 || optional=caddy # not in every release of Debian and Ubuntu
fi
[ -n "$missing$optional" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
	echo "deps: no apt-get here; what needs$missing $optional will be skipped and say so" >&2
	exit 0
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "deps: installing$missing $optional"
export DEBIAN_FRONTEND=noninteractive
# Debian starts a server that is installed; these are started by the tests, on ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
	$sudo chmod +x "$policy"
	trap '$sudo rm -f "$policy"' EXIT
fi
$sudo apt-get update -qq
# shellcheck disable=SC2086
[ -z "$missing" ] || $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
# shellcheck disable=SC2086
[ -z "$optional" ] || $sudo apt-get install -y -qq --no-install-recommends $optional >/dev/null ||
	echo "deps: no package $optional here; benchmarks leave it out" >&2

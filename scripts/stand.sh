# shellcheck shell=sh
# Sourced by the checks that examine a running Weir: starts one with a target of its own on loopback, over TLS at $TLS and plainly at $PLAIN, and stops both at
# the end. $BIN is the binary.
set -eu
BIN=${BIN:-bin/weir}
PLAIN=127.0.0.1:${PLAIN_PORT:-18480}
TLS=127.0.0.1:${TLS_PORT:-18443}
TARGET_PORT=${TARGET_PORT:-18401}
dir=$(mktemp -d)
pids=
stop() {
	trap - EXIT
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill $pids 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
	-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
cat >"$dir/weir.yaml" <<END
listen:
  - {address: "$PLAIN", routes: [{pool: api}]}
  - {address: "$TLS", routes: [{pool: api}], tls: {certificates: [{cert: "$dir/cert.pem", key: "$dir/key.pem"}]}}
timeouts: {header: 5s, body: 5s}
admin: {address: "127.0.0.1:0"}
state: "$dir/state"
pools: {api: {targets: ["127.0.0.1:$TARGET_PORT"]}}
END
"$BIN" infer --port "$TARGET_PORT" --model chat --device emulated >"$dir/target.log" 2>&1 &
pids="$pids $!"
"$BIN" run -c "$dir/weir.yaml" >"$dir/weir.log" 2>&1 &
weir=$!
pids="$pids $weir"

# answers: a request is answered within five seconds
answers() { curl -sf -m 5 -o /dev/null "http://$PLAIN/health" && curl -sf -m 5 -o /dev/null --cacert "$dir/cert.pem" "https://$TLS/health"; }
tries=0
until answers; do
	tries=$((tries + 1))
	[ $tries -lt 50 ] && kill -0 $weir 2>/dev/null || { echo "Weir does not start:" >&2; cat "$dir/weir.log" >&2; exit 1; }
	sleep 0.2
done

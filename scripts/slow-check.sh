#!/bin/sh
# Has slowhttptest attack a Weir that this starts: slow heads, slow bodies, ranges and slow reading, each for SLOWTIME seconds from 500 connections. It fails when
# Weir does not answer others within five seconds meanwhile or afterwards.
. "$(dirname "$0")/stand.sh"
SLOWTIME=${SLOWTIME:-15}
status=0
fail() { echo "slow-check: $1" >&2; status=1; }

# attack NAME OPTIONS...
attack() {
	name=$1
	shift
	timeout $((SLOWTIME + 30)) slowhttptest "$@" -c 500 -r 250 -l "$SLOWTIME" -p 3 >"$dir/attack" 2>&1 &
	attacker=$!
	asked=0
	while kill -0 $attacker 2>/dev/null; do
		answers || fail "$name: no answer during the attack"
		asked=$((asked + 2))
		sleep 0.5
	done
	wait $attacker || true
	answers || fail "$name: no answer after the attack"
	kill -0 $weir 2>/dev/null || fail "$name: Weir has ended"
	echo "slow-check: $name: $asked requests answered meanwhile; slowhttptest: $(sed 's/\x1b\[[0-9;]*m//g' "$dir/attack" | tr -s ' \t' ' ' | grep -E '^ ?(pending|connected|error|closed|service available|Exit status)' | tail -6 | tr '\n' ';')"
}

attack "slow heads" -H -i 10 -t GET -u "http://$PLAIN/" -x 24
attack "slow heads over TLS" -H -i 10 -t GET -u "https://$TLS/" -x 24
attack "slow bodies" -B -i 10 -s 8192 -t POST -u "http://$PLAIN/v1/chat/completions" -x 10
attack "ranges" -R -t HEAD -u "http://$PLAIN/" -a 10 -b 3000
attack "slow reading" -X -u "http://$PLAIN/health" -w 10 -y 20 -n 5 -z 32 -k 3
exit $status

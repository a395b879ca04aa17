#!/bin/sh
# Has sslscan, and testssl.sh where it is installed, look at a Weir that this starts. It fails when either finds what is not in order.
. "$(dirname "$0")/stand.sh"
status=0
fail() { echo "tls-check: $1" >&2; status=1; }

sslscan --no-colour --no-check-certificate "$TLS" | tee "$dir/sslscan"
grep -Eq '^TLSv1\.3 +enabled' "$dir/sslscan" || fail "sslscan does not see TLS 1.3"
! grep -E '^(SSLv2|SSLv3|TLSv1\.0|TLSv1\.1) +enabled' "$dir/sslscan" || fail "an old protocol is on"
! grep -E '(Accepted|Preferred).*(CBC|-SHA$|-SHA |RC4|3DES|NULL|EXP|anon|AES(128|256)-SHA|DES-CBC)' "$dir/sslscan" || fail "an old cipher is taken"
! grep -Ei '[^t] vulnerable to heartbleed|Insecure session renegotiation|Compression enabled' "$dir/sslscan" | grep -v 'not vulnerable' || fail "sslscan finds a hole"

testssl=$(command -v testssl || command -v testssl.sh || true)
if [ -n "$testssl" ]; then
	# All but the authority of the certificate, which is its own here.
	timeout 600 "$testssl" --quiet --color 0 --warnings off --add-ca "$dir/cert.pem" -p -s -f -P -U "$TLS" | tee "$dir/testssl" || true
	grep -q 'TLS 1.3 .*offered (OK)' "$dir/testssl" || fail "testssl.sh does not see TLS 1.3"
	! grep -E 'NOT ok|VULNERABLE \(' "$dir/testssl" || fail "testssl.sh finds what is not in order"
else
	echo "tls-check: testssl.sh is not installed, so only sslscan has looked"
fi
answers || fail "Weir does not answer any more"
exit $status

#!/bin/sh
# Makes certificates for tests in the directory $1: an authority, a certificate of it for this machine (here), and an
# authority that nobody trusts (stranger).
set -eu
cd "$1"

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

for authority in authority stranger; do
    new_key "$authority"
    openssl req -new -x509 -days 2 -subj "/CN=$authority" -key "$authority.key" -out "$authority.pem"
done

new_key here
openssl req -new -subj /CN=here -key here.key -out here.csr
echo subjectAltName=IP:127.0.0.1,DNS:localhost >here.ext
openssl x509 -req -days 2 -in here.csr -extfile here.ext -CA authority.pem -CAkey authority.key -CAcreateserial \
    -out here.pem 2>/dev/null

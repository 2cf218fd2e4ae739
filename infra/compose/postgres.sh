#!/bin/sh
# PostgreSQL with TLS. It takes a key that it alone may read, which a mounted secret is not.
set -eu
umask 077
cp /run/tls/tls.key /tmp/tls.key
exec docker-entrypoint.sh postgres \
    -c ssl=on \
    -c ssl_cert_file=/run/tls/tls.crt \
    -c ssl_key_file=/tmp/tls.key \
    -c ssl_min_protocol_version=TLSv1.2 \
    -c password_encryption=scram-sha-256 \
    -c hba_file=/etc/postgresql/pg_hba.conf \
    -c max_connections=200 \
    -c log_min_error_statement=panic \
    -c log_parameter_max_length_on_error=0

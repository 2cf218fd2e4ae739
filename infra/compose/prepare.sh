#!/bin/sh
# Makes what compose.yaml needs and no repository may hold: passwords, keys, certificates, and a
# policy to begin with. What is there already stays as it is, so it can be run again.
#
#     infra/compose/prepare.sh [FOLDER]      # default: infra/compose
#
# Everything lies in FOLDER/secrets, a folder that only its owner enters; containers are given
# single files of it. Back up record.key: without it the ledger's selections cannot be read.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here}
mkdir -p "$folder/secrets"
chmod 700 "$folder/secrets"
cd "$folder/secrets"

# write NAME VALUE: a file that is not there yet, readable in a container whatever its user is.
write() {
    [ -e "$1" ] && return 0
    printf '%s' "$2" >"$1.new"
    chmod 444 "$1.new"
    mv "$1.new" "$1"
}

password() { openssl rand -hex 24; }

for name in postgres-password postgres-lethe postgres-mlflow postgres-prefect mlflow-session \
    mlflow-admin mlflow-password operator-token metrics-token grafana-password; do
    write "$name" "$(password)"
done
write mlflow-admin-user admin
write mlflow-user lethe
write prefect-auth "lethe:$(password)"
if [ ! -e record.key ]; then
    openssl rand -out record.key.new 32
    chmod 444 record.key.new
    mv record.key.new record.key
fi

verified="sslmode=verify-full&sslrootcert=/run/tls/ca.pem"
write ledger-url "postgresql+psycopg://lethe:$(cat postgres-lethe)@postgres:5432/lethe?$verified"
mlflow="postgresql+psycopg://mlflow:$(cat postgres-mlflow)@postgres:5432"
write mlflow-store "$mlflow/mlflow?$verified"
# % is a sign of its own in this file; there is none in what is made here.
write mlflow-auth.ini "[mlflow]
default_permission = NO_PERMISSIONS
database_uri = $mlflow/mlflow_auth?$verified
admin_username = $(cat mlflow-admin-user)
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
grant_default_workspace_access = false
auth_cache_ttl_seconds = 30
"
write prefect-store "postgresql+asyncpg://prefect:$(cat postgres-prefect)@postgres:5432/prefect"

# An authority of this installation, and two certificates by it. Its key signs nothing else after.
if [ ! -e ca.pem ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -subj "/CN=Lethe, this installation" -keyout ca.key -out ca.pem \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
    chmod 400 ca.key
    chmod 444 ca.pem
fi
certificate() {
    [ -e "$1.crt" ] && return 0
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$1.key" -out "$1.csr" 2>/dev/null
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' \
        "$2" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 \
        -extfile "$1.ext" -out "$1.crt" 2>/dev/null
    rm "$1.csr" "$1.ext"
    chmod 444 "$1.crt" "$1.key"
}
certificate postgres DNS:postgres
certificate proxy DNS:mlflow,DNS:prefect,DNS:lethe,DNS:localhost,IP:127.0.0.1

[ -e ../policy.toml ] || cp "$here/policy.sample.toml" ../policy.toml
chmod 644 ../policy.toml
echo "Made what was missing in $folder: secrets/ and policy.toml. The operator's token is in secrets/operator-token."

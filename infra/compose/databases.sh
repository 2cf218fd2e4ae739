#!/bin/sh
# Once, in an empty cluster: a database for each service and its role, which sees that one alone.
# Passwords come from files into psql's variables by its standard input, never as arguments.
set -eu
export PGPASSWORD
PGPASSWORD=$(cat /run/secrets/postgres-password)
for name in lethe mlflow prefect; do
    password=$(cat "/run/secrets/postgres-$name")
    psql --username postgres --dbname postgres --quiet --set ON_ERROR_STOP=1 <<SQL
\\set password '$password'
CREATE ROLE $name LOGIN PASSWORD :'password';
CREATE DATABASE $name OWNER $name;
REVOKE ALL ON DATABASE $name FROM PUBLIC;
SQL
done
# MLflow's accounts lie in a database of their own, beside what it keeps of runs.
psql --username postgres --dbname postgres --quiet --set ON_ERROR_STOP=1 <<SQL
CREATE DATABASE mlflow_auth OWNER mlflow;
REVOKE ALL ON DATABASE mlflow_auth FROM PUBLIC;
SQL
# Prefect searches text with trigrams; making the extension is the superuser's.
psql --username postgres --dbname prefect --quiet --set ON_ERROR_STOP=1 \
    --command "CREATE EXTENSION IF NOT EXISTS pg_trgm"

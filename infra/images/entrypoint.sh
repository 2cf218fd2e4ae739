#!/bin/sh
# Gives a program its secrets: every file in $SECRETS_DIR whose name is that of a variable becomes
# that variable, for this process and what it starts. So no secret is in an image, on a command
# line, in a compose file, in what `docker inspect` prints or in the description of a pod.
set -eu

for file in "${SECRETS_DIR:-/run/secrets/env}"/*; do
    name=${file##*/}
    case $name in
        '' | [0-9]* | *[!A-Z0-9_]*) continue ;; # also what a volume has beside its files
    esac
    [ -f "$file" ] || continue
    if ! value=$(cat -- "$file"); then
        echo "The secret $name cannot be read by user $(id -u). Nothing was started. Let it read the file." >&2
        exit 78
    fi
    if [ -z "$value" ]; then
        echo "The secret $name is empty. Nothing was started. Write it into its file." >&2
        exit 78
    fi
    export "$name=$value"
done
unset file name value
exec "$@"

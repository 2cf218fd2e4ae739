#!/bin/sh
# Makes the work pools that prefect.yaml names, with the base job template of their type, and the
# deployments; again after each change. Needs PREFECT_API_URL and PREFECT_API_AUTH_STRING.
#
#     deploy.sh [process|docker|kubernetes]
set -eu
type=${1:-process}
template="infra/templates/$type.json"
if [ ! -f "$template" ]; then
    echo "There is no base job template for pools of type $type. Nothing was made." >&2
    exit 64
fi
pools=$(python -c '
import yaml
with open("prefect.yaml", encoding="utf-8") as file:
    print(*sorted({one["work_pool"]["name"] for one in yaml.safe_load(file)["deployments"]}))
')
for pool in $pools; do
    prefect --no-prompt work-pool create "$pool" --type "$type" \
        --base-job-template "$template" --overwrite
done
exec prefect --no-prompt deploy --all

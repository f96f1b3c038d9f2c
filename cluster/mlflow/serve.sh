#!/usr/bin/env bash
# Starts the MLflow server behind a password, on PostgreSQL. Run beside basic_auth.ini.
#
# DATABASE   postgresql://USER:PASSWORD@HOST:5432, without a database: it has `mlflow` and `access`
# ARTIFACTS  a folder, or s3://BUCKET (then install boto3)
# MLFLOW_AUTH_ADMIN_PASSWORD       of the first start, 12 characters at least
# MLFLOW_FLASK_SERVER_SECRET_KEY   signs forms; any long random text, kept the same
# ALLOWED_HOSTS  names that browsers reach it by; MLflow refuses others
set -euo pipefail

: "${DATABASE:?}" "${ARTIFACTS:?}" "${MLFLOW_AUTH_ADMIN_PASSWORD:?}" "${MLFLOW_FLASK_SERVER_SECRET_KEY:?}"
settings=$(mktemp)
sed "s|^database_uri = .*|database_uri = ${DATABASE}/access|" basic_auth.ini > "$settings"
export MLFLOW_AUTH_CONFIG_PATH=$settings

exec mlflow server --app-name basic-auth \
    --host "${HOST:-0.0.0.0}" --port "${PORT:-5000}" --workers "${WORKERS:-2}" \
    --allowed-hosts "${ALLOWED_HOSTS:-localhost:*,127.0.0.1:*}" \
    --backend-store-uri "${DATABASE}/mlflow" \
    --artifacts-destination "$ARTIFACTS"

#!/usr/bin/env bash
# Starts the MLflow server with password authentication, on PostgreSQL. Run it in the folder of
# basic_auth.ini, with these environment variables:
#
# DATABASE   postgresql://USER:PASSWORD@HOST:5432, a server with the databases `mlflow` and `access`;
#            in the password, %40 stands for @, %2F for / and so on
# ARTIFACTS  a folder, or s3://BUCKET (requires boto3)
# MLFLOW_AUTH_ADMIN_PASSWORD       admin's initial password, at least 12 characters
# MLFLOW_FLASK_SERVER_SECRET_KEY   signs forms: any long random text, the same at every start
# ALLOWED_HOSTS  host names under which browsers reach the server; MLflow rejects others
set -euo pipefail

: "${DATABASE:?}" "${ARTIFACTS:?}" "${MLFLOW_AUTH_ADMIN_PASSWORD:?}" "${MLFLOW_FLASK_SERVER_SECRET_KEY:?}"
settings=$(mktemp)
{
    grep -v '^database_uri = ' basic_auth.ini
    echo "database_uri = ${DATABASE//%/%%}/access" # a single % means something else in this format
} > "$settings"
export MLFLOW_AUTH_CONFIG_PATH=$settings
export MLFLOW_BACKEND_STORE_URI=${DATABASE}/mlflow # as an argument, everyone here could read it

exec mlflow server --app-name basic-auth \
    --host "${HOST:-0.0.0.0}" --port "${PORT:-5000}" --workers "${WORKERS:-2}" \
    --allowed-hosts "${ALLOWED_HOSTS:-localhost:*,127.0.0.1:*}" \
    --artifacts-destination "$ARTIFACTS"

"""Seeded bugs: credentials, certificates, proxies and parameters that do not reach every client."""

from __future__ import annotations

from tests.faults.cleanup.bugs import Bug

CREDENTIALS = "tests/integration/stores/test_credentials.py::"
NETWORKS = "tests/integration/stores/test_private_networks.py::"
DATABASE = "tests/integration/stores/test_database_connections.py::"
REFUSED = "tests/integration/stores/test_refused_requests.py::"
RULES = "tests/unit/stores/test_connection_rules.py::"
AIRFLOW = "tests/dags/test_connections.py::"
BUGS = (
    Bug(
        "keys that were renewed reach minio-py without their session token",
        "storage/stores/s3/credentials.py",
        'Credentials(now.access_key or "", now.secret_key or "", now.token)',
        'Credentials(now.access_key or "", now.secret_key or "")',
        f"{CREDENTIALS}test_keys_of_the_environment_with_a_session_token",
    ),
    Bug(
        "boto3 keeps the first keys of an application's client",
        "storage/stores/s3/credentials.py",
        "return Keys(lambda: _Frozen(provider.retrieve()))",
        "return Keys(lambda now=_Frozen(provider.retrieve()): now)",
        f"{CREDENTIALS}test_the_clients_of_an_application_are_renewed_too",
    ),
    Bug(
        "keys of the environment win over the settings",
        "storage/stores/s3/credentials.py",
        "    if login.access_key:\n",
        "    if login.access_key and not session.get_credentials():\n",
        f"{CREDENTIALS}test_both_clients_find_the_keys[settings]",
    ),
    Bug(
        "a role is not assumed: the keys below it are used",
        "storage/stores/s3/credentials.py",
        "if not login.role_arn:",
        "if True:",
        f"{CREDENTIALS}test_both_clients_find_the_keys[web identity by setting]",
    ),
    Bug(
        "minio-py trusts public CAs only",
        "storage/stores/s3/transport.py",
        '"ca_certs": ca_file or certifi.where()',
        '"ca_certs": certifi.where()',
        f"{NETWORKS}test_a_private_ca_is_trusted[SSL_CERT_FILE]",
    ),
    Bug(
        "boto3 trusts public CAs only",
        "storage/stores/s3/client.py",
        "verify=(self._ca_file or None) if self.verify else False",
        "verify=None if self.verify else False",
        f"{NETWORKS}test_a_private_ca_is_trusted[STORAGE_CA_FILE]",
    ),
    Bug(
        "certificates are left unchecked without a word",
        "storage/stores/s3/client.py",
        'if parts.scheme == "https" and not self.verify:',
        "if not parts.scheme:",
        f"{NETWORKS}test_certificates_are_left_unchecked_only_when_asked",
    ),
    Bug(
        "minio-py goes round the proxy",
        "storage/stores/s3/transport.py",
        'named = getproxies().get(parts.scheme, "")',
        'named = ""',
        f"{NETWORKS}test_both_clients_use_the_proxy[upper-http-HTTP_PROXY]",
    ),
    Bug(
        "NO_PROXY is not read",
        "storage/stores/s3/transport.py",
        " or proxy_bypass(parts.netloc)",
        "",
        f"{NETWORKS}test_no_proxy_leads_straight_to_the_store",
    ),
    Bug(
        "client programs do not see libpq's variables",
        "storage/backup/postgres/child_process.py",
        'if name.startswith("PG") and value',
        'if name.startswith("PG_") and value',
        f"{DATABASE}test_another_ca_is_refused_by_all[environment]",
    ),
    Bug(
        "a parameter that libpq does not know passes",
        "storage/stores/postgres/conninfo.py",
        "make_dsn(**{",
        "dict(**{",
        f"{RULES}test_a_parameter_that_libpq_does_not_know_is_named[ssl_mode]",
    ),
    Bug(
        "an option of the URL shows rows that a policy would hide",
        "storage/stores/postgres/conninfo.py",
        '{options} -c timezone=UTC -c row_security=off"',
        '-c timezone=UTC -c row_security=off {options}"',
        f"{RULES}test_the_url_s_parameters_reach_the_session_and_ours_win",
    ),
    Bug(
        "a pooler that drops the start-up options passes",
        "storage/stores/postgres/pooler.py",
        'if row_security != "off":',
        "if not row_security:",
        f"{DATABASE}test_a_pooler_of_transactions_is_refused",
    ),
    Bug(
        "a pooler that shares sessions passes",
        "storage/stores/postgres/pooler.py",
        "return shared(seen[one], seen[other])",
        "return not seen",
        f"{DATABASE}test_a_pooler_of_transactions_is_refused",
    ),
    Bug(
        "a pooler that hands out its sessions in turn passes",
        "storage/stores/postgres/pooler.py",
        "len(one) > 1 or len(other) > 1 or one == other",
        "len(one | other) != 2",
        f"{RULES}test_two_sessions_that_share_a_process",
    ),
    Bug(
        "every pooler is refused",
        "storage/stores/postgres/pooler.py",
        "return shared(seen[one], seen[other])",
        "return True",
        f"{DATABASE}test_a_pooler_of_sessions_is_not",
    ),
    Bug(
        "a missing GRANT counts as a wrong password",
        "storage/stores/postgres/connection.py",
        'if code == "42501":',
        'if code == "nothing":',
        f"{DATABASE}test_a_missing_grant_is_not_a_wrong_password",
    ),
    Bug(
        "a refusal names the bucket and not the prefix",
        "storage/stores/s3/rights.py",
        'parse_qs(urlsplit(url).query).get("prefix", [""])[0]',
        '""',
        f"{REFUSED}test_the_refusal_names_request_place_and_right",
    ),
    Bug(
        "status ends well although the store was not asked",
        "storage/cli/installation.py",
        "return max((error.exit_code for error in errors), default=EXIT_FAILED if unsafe else 0)",
        "return EXIT_FAILED if unsafe else 0",
        f"{REFUSED}test_status_says_what_it_could_not_ask",
    ),
    Bug(
        "an unknown extra of a connection is ignored",
        "plugins/storage_airflow/connections.py",
        "    _refuse_unknown(extra)\n",
        "",
        f"{AIRFLOW}test_nothing_is_ignored",
    ),
)

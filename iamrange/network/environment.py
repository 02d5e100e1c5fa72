"""The environment variables that make unmodified clients live in a world.

- No client needs an endpoint: names resolve at the proxy, certificates at the world's authority.
- Loopback is reached directly (for endpoint overrides); everything else goes to the proxy, plain
  HTTP too, so that it is refused there rather than sent to the real network.
"""

from __future__ import annotations

from iamrange.network.names import VAULT_HOST


def client_environment(proxy_url: str, ca_file: str) -> dict[str, str]:
    """Return the variables for a client of the network behind `proxy_url`."""
    environment = dict.fromkeys(
        ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
        proxy_url,
    )
    environment |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    environment |= dict.fromkeys(
        (
            "AWS_CA_BUNDLE",
            "REQUESTS_CA_BUNDLE",
            "SSL_CERT_FILE",
            "CURL_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
            "HTTPLIB2_CA_CERTS",
            "VAULT_CACERT",
            "BAO_CACERT",
        ),
        ca_file,
    )
    environment |= dict.fromkeys(("VAULT_ADDR", "BAO_ADDR"), f"https://{VAULT_HOST}")
    # Without these, SDKs look for an instance's metadata server, which no world has.
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}
    return environment

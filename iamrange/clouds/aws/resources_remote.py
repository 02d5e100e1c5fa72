"""What the planners read of the services' resources, asked of an emulator over HTTP.

- Every answer is of this moment, by the service's own read-only calls, in the account that an ARN
  or URL names: the caller's identity never decides where a lookup goes.
- What comes back must be what was asked for, account and region included: emulators take the last
  part of an ARN for a name and forget the rest.
- Nothing is looked up in an account that this cloud does not have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.resources import Key, Resource, split, tag_map
from iamrange.clouds.aws.resources_remote_s3 import RemoteBuckets
from iamrange.clouds.aws.service_resources_remote import RemoteServiceResources
from iamrange.clouds.aws.upstream_ask import question

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iamrange.clouds.aws.upstream_ask import Question

_KEY_ID = re.compile(rb"(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_MAX_PAGES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A grant on a key, by the names that the rules of grants know."""

    id: str
    grantee_principal: str
    retiring_principal: str | None
    operations: tuple[str, ...]
    constraints: Mapping[str, Any]


class RemoteResources(RemoteServiceResources, RemoteBuckets):
    """Looks resources up at an emulator, from inside `waiting`.

    Each lookup raises `UpstreamError` when the emulator's answer is neither the thing nor its
    absence.
    """

    def secret(self, account: str, region: str, secret_id: str) -> Resource | None:
        """Find a secret by name, ARN, or ARN without its random suffix."""
        name, named = secret_id, split(secret_id)
        if named is not None:
            _, region, account, rest = named
            name = rest.removeprefix("secret:")
        if account not in self._accounts():
            return None
        found, policy = self._asker.about(
            *(
                question("secretsmanager", operation, account, region, SecretId=secret_id)
                for operation in ("DescribeSecret", "GetResourcePolicy")
            )
        )
        if found is None or not _lives_in(found["ARN"], account, region):
            return None
        if secret_id not in (found["ARN"], found["Name"]) and not (named and name == found["Name"]):
            return None
        return Resource(
            arn=found["ARN"],
            account=account,
            tags=tag_map(found.get("Tags")),
            policy=(policy or {}).get("ResourcePolicy") or None,
            kms_key=found.get("KmsKeyId"),
        )

    def secret_arns(self, account: str, region: str, filters: Any) -> list[str]:  # noqa: ANN401  # the model's own shape
        """Return the ARNs of the secrets that filters find, as ListSecrets would."""
        pages = self._pages(
            question("secretsmanager", "ListSecrets", account, region, Filters=filters),
            following="NextToken",
        )
        return [str(secret["ARN"]) for page in pages for secret in page["SecretList"]]

    def key(self, account: str, region: str, key_id: str) -> Key | None:
        """Find a key by id, ARN, alias or alias ARN."""
        name, named = key_id, split(key_id)
        if named is not None:
            _, region, account, rest = named
            name = rest.removeprefix("key/")
        if account not in self._accounts() or not name:
            return None
        found = self._asker.one(question("kms", "DescribeKey", account, region, KeyId=name))
        return self._key(found, account, region)

    def sealing_key(self, region: str, sealed: Any) -> Key | None:  # noqa: ANN401  # a blob
        """Find the key that a ciphertext says it was made with, in whatever account."""
        try:
            key_id = _KEY_ID.match(bytes(sealed))
        except (TypeError, ValueError):
            return None
        if key_id is None:
            return None
        accounts = sorted(self._accounts())
        questions = [
            question("kms", "DescribeKey", a, region, KeyId=key_id[0].decode()) for a in accounts
        ]
        for account, found in zip(accounts, self._asker.ask(*questions), strict=True):
            key = self._key(found, account, region)
            if key is not None:
                return key
        return None

    def _key(self, found: Any, account: str, region: str) -> Key | None:  # noqa: ANN401  # an output
        if found is None or not _lives_in(found["KeyMetadata"]["Arn"], account, region):
            return None
        about = found["KeyMetadata"]
        ident = str(about["KeyId"])
        policy, tags, aliases = self._asker.ask(
            question("kms", "GetKeyPolicy", account, region, KeyId=ident, PolicyName="default"),
            question("kms", "ListResourceTags", account, region, KeyId=ident),
            question("kms", "ListAliases", account, region, KeyId=ident),
        )
        grants = self._pages(
            question("kms", "ListGrants", account, region, KeyId=ident),
            following="NextMarker",
            sent="Marker",
        )
        return Key(
            id=ident,
            arn=about["Arn"],
            account=account,
            tags=tag_map((tags or {}).get("Tags")),
            policy=(policy or {}).get("Policy"),
            state=about.get("KeyState") or "Enabled",
            spec=about.get("KeySpec") or "SYMMETRIC_DEFAULT",
            usage=about.get("KeyUsage") or "ENCRYPT_DECRYPT",
            origin=about.get("Origin") or "AWS_KMS",
            multi_region=bool(about.get("MultiRegion")),
            aliases=tuple(a["AliasName"] for a in (aliases or {}).get("Aliases", ())),
            grants=tuple(_grant(grant) for page in grants for grant in page.get("Grants", ())),
        )

    def table(self, account: str, region: str, name: str) -> Resource | None:
        """Find a table by name or ARN (its indexes' ARNs too)."""
        named = split(name)
        if named is not None:
            _, region, account, rest = named
            name = rest.split("/")[1] if rest.startswith("table/") else ""
        if account not in self._accounts() or not name:
            return None
        arn = f"arn:aws:dynamodb:{region}:{account}:table/{name}"
        found, tags, policy = self._asker.about(
            question("dynamodb", "DescribeTable", account, region, TableName=name),
            question("dynamodb", "ListTagsOfResource", account, region, ResourceArn=arn),
            question("dynamodb", "GetResourcePolicy", account, region, ResourceArn=arn),
        )
        if found is None or found["Table"]["TableArn"] != arn:
            return None
        return Resource(
            arn=arn,
            account=account,
            tags=tag_map((tags or {}).get("Tags")),
            policy=(policy or {}).get("Policy") or None,
        )

    def table_schema(self, arn: str, index: str | None) -> list[dict[str, str]]:
        """Return the key schema of a table or of one of its indexes.

        Raises:
            LookupError: there is no such table or index.
        """
        _, region, account, rest = split(arn) or ("", "", "", "")
        name = rest.split("/")[1]
        found = self._asker.one(
            question("dynamodb", "DescribeTable", account, region, TableName=name)
        )
        if found is None:
            raise LookupError(f"table {arn} is not there")
        about = found["Table"]
        if index is None:
            return list(about["KeySchema"])
        for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
            for one in about.get(kind) or ():
                if one["IndexName"] == index:
                    return list(one["KeySchema"])
        raise LookupError(f"index {index} of {arn} is not there")

    def parameter(self, account: str, region: str, name: str) -> Resource:
        """Return a Systems Manager parameter, as it is or as it would be called."""
        arn = f"arn:aws:ssm:{region}:{account}:parameter/{name.lstrip('/')}"
        if account not in self._accounts():
            return Resource(arn=arn, account=account, tags={})
        # Some keep `/name` as `name` when that is the only slash.
        forms = [name]
        if name.count("/") == 1 and name.startswith("/"):
            forms.append(name[1:])
        answers = self._asker.ask(
            *(_described(account, region, form) for form in forms),
            *(
                question(
                    "ssm",
                    "ListTagsForResource",
                    account,
                    region,
                    ResourceType="Parameter",
                    ResourceId=form,
                )
                for form in forms
            ),
        )
        described, listed = answers[: len(forms)], answers[len(forms) :]
        tags: dict[str, str] = {}
        for answer in listed:
            tags |= tag_map((answer or {}).get("TagList"))
        found = [p for d in described for p in (d or {}).get("Parameters", ())]
        found = [p for p in found if p["Name"] in forms]
        sealed = bool(found) and found[0].get("Type") == "SecureString"
        key = str(found[0].get("KeyId") or "alias/aws/ssm") if sealed else None
        return Resource(arn=arn, account=account, tags=tags, kms_key=key)

    def parameter_name(self, account: str, region: str, place: str) -> str:
        """Return the name of the parameter whose ARN ends in `parameter/PLACE`.

        Names with a path begin with a slash, which their ARNs do not double.
        """
        if account not in self._accounts():
            return f"/{place}"
        answer = self._asker.one(_described(account, region, place))
        plain = any(p["Name"] == place for p in (answer or {}).get("Parameters", ()))
        return place if plain else f"/{place}"

    def parameter_names(self, account: str, region: str, path: str) -> list[str]:
        """Return the names of the parameters under a path."""
        if account not in self._accounts():
            return []
        under = {"Key": "Path", "Option": "Recursive", "Values": [path]}
        pages = self._pages(
            question("ssm", "DescribeParameters", account, region, ParameterFilters=[under]),
            following="NextToken",
        )
        start = path.rstrip("/") + "/"
        names = [str(p["Name"]) for page in pages for p in page.get("Parameters", ())]
        return [name for name in names if name.startswith(start)]

    def queue(self, account: str, region: str, name: str) -> Resource | None:
        """Find a queue by name."""
        if account not in self._accounts():
            return None
        url = self._asker.queue_url(account, name)
        about, tags = self._asker.about(
            question(
                "sqs", "GetQueueAttributes", account, region, QueueUrl=url, AttributeNames=["All"]
            ),
            question("sqs", "ListQueueTags", account, region, QueueUrl=url),
        )
        attributes = (about or {}).get("Attributes") or {}
        arn = f"arn:aws:sqs:{region}:{account}:{name}"
        if attributes.get("QueueArn") != arn:
            return None
        return Resource(
            arn=arn,
            account=account,
            tags=tag_map((tags or {}).get("Tags")),
            policy=attributes.get("Policy") or None,
        )

    def topic(self, arn: str) -> Resource | None:
        """Find a topic by ARN."""
        named = split(arn)
        if named is None or named[2] not in self._accounts():
            return None
        _, region, account, _ = named
        about, tags = self._asker.about(
            question("sns", "GetTopicAttributes", account, region, TopicArn=arn),
            question("sns", "ListTagsForResource", account, region, ResourceArn=arn),
        )
        attributes = (about or {}).get("Attributes") or {}
        if attributes.get("TopicArn") != arn:
            return None
        return Resource(
            arn=arn,
            account=account,
            tags=tag_map((tags or {}).get("Tags")),
            policy=attributes.get("Policy") or None,
        )

    def function_tags(self, account: str, region: str, name: str) -> dict[str, str]:
        """Return the tags of a Lambda function that is there; none otherwise."""
        found = self._function(account, region, name)
        return tag_map(found.get("Tags")) if found else {}

    def function_role(self, account: str, region: str, name: str) -> str | None:
        """Return the role that a Lambda function runs as."""
        found = self._function(account, region, name)
        return str(found["Configuration"]["Role"]) if found else None

    def _function(self, account: str, region: str, name: str) -> Any:  # noqa: ANN401  # an output
        if account not in self._accounts():
            return None
        found = self._asker.one(
            question("lambda", "GetFunction", account, region, FunctionName=name)
        )
        arn = f"arn:aws:lambda:{region}:{account}:function:{name}"
        same = found is not None and found["Configuration"].get("FunctionArn", arn) == arn
        return found if same else None

    def ec2_tags(self, account: str, region: str, resource_id: str) -> dict[str, str]:
        """Return the tags of an EC2 resource, by its id."""
        if account not in self._accounts():
            return {}
        by_id = {"Name": "resource-id", "Values": [resource_id]}
        pages = self._pages(
            question("ec2", "DescribeTags", account, region, Filters=[by_id]),
            following="NextToken",
        )
        return tag_map([tag for page in pages for tag in page.get("Tags", ())])

    def _pages(
        self, first: Question, *, following: str, sent: str | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """Ask page by page; an emulator that pages for ever is broken, not read in part.

        Raises:
            LookupError: there are too many pages.
        """
        asked = first
        for _ in range(_MAX_PAGES):
            page = self._asker.one(asked)
            if page is None:
                return
            yield page
            if not page.get(following):
                return
            more = {**first.parameters, (sent or following): page[following]}
            asked = replace(first, parameters=more)
        raise LookupError(f"{first.service}.{first.operation}: more than {_MAX_PAGES} pages")


def _lives_in(arn: str, account: str, region: str) -> bool:
    found = split(arn)
    return found is not None and found[1:3] == (region, account)


def _grant(told: Mapping[str, Any]) -> Grant:
    return Grant(
        id=str(told["GrantId"]),
        grantee_principal=str(told["GranteePrincipal"]),
        retiring_principal=told.get("RetiringPrincipal") or None,
        operations=tuple(str(name) for name in told.get("Operations") or ()),
        constraints=dict(told.get("Constraints") or {}),
    )


def _described(account: str, region: str, name: str) -> Question:
    by_name = {"Key": "Name", "Option": "Equals", "Values": [name]}
    return question("ssm", "DescribeParameters", account, region, ParameterFilters=[by_name])

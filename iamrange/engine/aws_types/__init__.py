"""The AWS resource types of the embedded provider, on boto3."""

"""Human in the loop: a person's signature on exactly one request, good for exactly one use.

- The model and the judgement are pure; the service asks the store and the directory.
- What counts is the signature, checked each time against the directory of that moment: neither a
  row in the database nor a member of a request's JSON makes an approval.
"""

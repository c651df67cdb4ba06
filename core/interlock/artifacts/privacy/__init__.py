"""Secrets and personal data in the texts of a model, for who asks for them (extra ``privacy``).

Kingfisher (MongoDB, Apache-2.0) finds both: secrets by the rules that it brings, personal data by the few rules of
``personal_data.yml``, whose check digits it computes. phonenumbers (Google's metadata, Apache-2.0) says whether digits
are a telephone number. Both run in the sandbox, without a network, so no secret is tried out and none leaves.
"""

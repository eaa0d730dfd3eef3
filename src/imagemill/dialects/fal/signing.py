"""What fal's receivers verify of a webhook."""

import hashlib

from imagemill.webhooks import Signer


def signed_headers(
    signer: Signer, request_id: str, user_id: str, body: bytes, now: float
) -> dict[str, str]:
    """The headers of one attempt; receivers refuse a time that is 300 s from theirs."""
    timestamp = str(int(now))
    digest = hashlib.sha256(body).hexdigest()
    signed = "\n".join((request_id, user_id, timestamp, digest)).encode()
    return {
        "X-Fal-Webhook-Request-Id": request_id,
        "X-Fal-Webhook-User-Id": user_id,
        "X-Fal-Webhook-Timestamp": timestamp,
        "X-Fal-Webhook-Signature": signer.sign(signed).hex(),
    }

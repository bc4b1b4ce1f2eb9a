/** Signatures of webhooks: HMAC-SHA256 over the body as it came. */
import { createHmac, timingSafeEqual } from "node:crypto";

/**
 * Whether one of the secrets made this signature. Two secrets are good at once while one replaces the other.
 * @param signature hexadecimal; absent or malformed is no signature.
 */
export function isSigned(body: Uint8Array, signature: string | null, secrets: readonly string[]): boolean {
  const given = /^[0-9a-f]{64}$/i.test(signature ?? "") ? Buffer.from(signature!, "hex") : undefined;
  // Each is computed and compared, so that the time says nothing about which one it was.
  const answers = secrets
    .filter((secret) => secret !== "")
    .map((secret) => createHmac("sha256", secret).update(body).digest())
    .map((expected) => given !== undefined && timingSafeEqual(expected, given));
  return answers.includes(true);
}

/** The files of a TLS endpoint, as the options of a connection. */
import { readFileSync } from "node:fs";
import type { TlsFiles } from "./endpoint.ts";

export function tlsOptions(tls: TlsFiles | undefined): { ca?: Buffer; cert?: Buffer; key?: Buffer; rejectUnauthorized?: boolean } {
  if (!tls) return {};
  return {
    ...(tls.ca ? { ca: readFileSync(tls.ca) } : {}),
    ...(tls.cert ? { cert: readFileSync(tls.cert) } : {}),
    ...(tls.key ? { key: readFileSync(tls.key) } : {}),
    rejectUnauthorized: !tls.skipVerify,
  };
}

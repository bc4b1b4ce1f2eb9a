/**
 * The certificates of one control plane: a CA of its own, a serving certificate, one client certificate for each user, and
 * the key pair that signs service account tokens. Written once into a folder that only its user may read.
 */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { makeFolder } from "../base/folder.ts";

/** Users of the control plane by file name: common name and groups, as Kubernetes' RBAC bootstrap knows them. */
const users = {
  admin: { name: "seatrial-admin", group: "system:masters" },
  "controller-manager": { name: "system:kube-controller-manager", group: "" },
  scheduler: { name: "system:kube-scheduler", group: "" },
  kwok: { name: "seatrial-kwok", group: "system:masters" },
} as const;

export type ControlPlaneUser = keyof typeof users;

/** A throwaway control plane outlives no year; a declared one is made anew before it is ten years old. */
const validityMs = 10 * 365 * 24 * 3_600_000;
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export interface PkiOptions {
  /** DNS names and addresses that the API server is dialled by. */
  dnsNames: readonly string[];
  addresses: readonly string[];
}

/** Writes `ca.crt`, `apiserver.{crt,key}`, `sa.{pub,key}` and `USER.{crt,key}` into the folder. */
export async function writePki(directory: string, options: PkiOptions): Promise<void> {
  x509.cryptoProvider.set(webcrypto as never);
  makeFolder(directory, 0o700);
  const caKeys = await newKeys();
  const notBefore = new Date(Date.now() - 3_600_000); // Clocks of two machines differ.
  const notAfter = new Date(Date.now() + validityMs);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=seatrial",
    keys: caKeys,
    notBefore,
    notAfter,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const issue = async (file: string, subject: x509.JsonName, extensions: x509.Extension[]) => {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: ca.subject,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: algorithm,
      notBefore,
      notAfter,
      extensions: [new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true), ...extensions],
    });
    await write(`${file}.crt`, certificate.toString("pem"));
    await write(`${file}.key`, await pemOf(keys.privateKey, "pkcs8"));
  };
  const write = async (file: string, text: string) => await writeFile(join(directory, file), `${text}\n`, { mode: 0o600 });

  const serviceAccountKeys = await newKeys();
  await Promise.all([
    write("ca.crt", ca.toString("pem")),
    write("sa.pub", await pemOf(serviceAccountKeys.publicKey, "spki")),
    write("sa.key", await pemOf(serviceAccountKeys.privateKey, "pkcs8")),
    issue(
      "apiserver",
      [{ CN: ["kube-apiserver"] }],
      [
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([
          ...options.dnsNames.map((value) => ({ type: "dns" as const, value })),
          ...options.addresses.map((value) => ({ type: "ip" as const, value })),
        ]),
      ],
    ),
    ...Object.entries(users).map(([file, { name, group }]) =>
      issue(
        file,
        [{ CN: [name] }, ...(group ? [{ O: [group] }] : [])],
        [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
      ),
    ),
  ]);
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
}

async function pemOf(key: webcrypto.CryptoKey, format: "pkcs8" | "spki"): Promise<string> {
  const der = await webcrypto.subtle.exportKey(format, key as never);
  return x509.PemConverter.encode(der, format === "pkcs8" ? "PRIVATE KEY" : "PUBLIC KEY");
}

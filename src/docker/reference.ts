/** Names of images. */

/** `repository:tag`, `latest` when there is none; a digest stays with the tag as Docker's API has it. */
export function splitReference(reference: string): { repository: string; tag: string } {
  const at = reference.indexOf("@");
  if (at >= 0) return { repository: reference.slice(0, at), tag: reference.slice(at + 1) };
  const colon = reference.lastIndexOf(":");
  if (colon > reference.lastIndexOf("/")) return { repository: reference.slice(0, colon), tag: reference.slice(colon + 1) };
  return { repository: reference, tag: "latest" };
}

/** As a path of Docker's API: its slashes stay. */
export function encodeImage(reference: string): string {
  return reference.split("/").map(encodeURIComponent).join("/");
}

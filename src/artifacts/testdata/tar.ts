/** Archives as nobody should make them, for tests. */
import { type Header, pack } from "tar-stream";

export type TarEntry = [Partial<Header> & { name: string }, string?];

export async function tarOf(entries: readonly TarEntry[]): Promise<Buffer> {
  const archive = pack();
  for (const [header, text = ""] of entries) archive.entry(header, text);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

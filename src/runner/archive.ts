/** Tar archives as Docker takes them, in memory. */
import { pack } from "tar-stream";

export interface ArchiveFile {
  name: string;
  content: Buffer | string;
  mode?: number;
}

export async function archiveOf(files: readonly ArchiveFile[]): Promise<Buffer> {
  const archive = pack();
  for (const { name, content, mode = 0o644 } of files) archive.entry({ name, mode }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

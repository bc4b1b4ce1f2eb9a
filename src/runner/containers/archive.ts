/** Tar archives as Docker takes them, in memory. */
import { pack } from "tar-stream";

export interface ArchiveFile {
  name: string;
  content: Buffer | string;
  mode?: number;
}

export interface ArchiveLink {
  name: string;
  linkTo: string;
}

export async function archiveOf(files: readonly (ArchiveFile | ArchiveLink)[]): Promise<Buffer> {
  const archive = pack();
  for (const file of files) {
    if ("linkTo" in file) archive.entry({ name: file.name, type: "symlink", linkname: file.linkTo });
    else archive.entry({ name: file.name, mode: file.mode ?? 0o644 }, file.content);
  }
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

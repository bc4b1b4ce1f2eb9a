/** What runners are told of named artifacts and caches; see server/runners/runner-storage.ts for the calls. */

/** A named artifact. */
export interface UploadView {
  id: number;
  name: string;
  /** Of all its files. Unit: bytes. */
  size: number;
  digest: string;
  /** Absent in lists. */
  files?: { path: string; size: number; digest: string }[];
  /** Page where people find it; absent where nobody does. */
  url?: string;
}

export interface CacheView {
  id: string;
  /** The one that was found: it begins as one of those that were asked for. */
  key: string;
  /** Unit: bytes. */
  size: number;
  digest: string;
}

/** What was found for a step's keys. */
export interface CacheAnswer {
  cache?: CacheView;
  /** Whether there is one of just this key, which is not saved again. */
  isSaved: boolean;
}

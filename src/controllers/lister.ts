/** What a reconciler reads resources from: a view of the store that is kept up to date, and may be a moment behind. */
import type { Resource, Stored } from "../resources/object.ts";

export interface Lister<R extends Resource> {
  get(name: string): Stored<R> | undefined;
  /** Those with the label, in any order. */
  labelled(label: string, value: string): readonly Stored<R>[];
  all(): Iterable<Stored<R>>;
}

/** Values of secrets on their way to a job. Whatever prints, logs or serialises this object shows names and never a value. */
import { inspect } from "node:util";

export class SecretValues {
  readonly #values: ReadonlyMap<string, string>;

  /** @param values by canonical name. */
  constructor(values: Iterable<readonly [string, string]> = []) {
    this.#values = new Map(values);
  }

  get names(): string[] {
    return [...this.#values.keys()];
  }

  /** The values themselves, for the runner's assignment and the mask: the only way out of here. */
  reveal(): Record<string, string> {
    return Object.fromEntries(this.#values);
  }

  toString(): string {
    return `secrets: ${this.names.join(", ") || "none"}`;
  }

  toJSON(): unknown {
    return { names: this.names };
  }

  [inspect.custom](): string {
    return `[${this.toString()}]`;
  }
}

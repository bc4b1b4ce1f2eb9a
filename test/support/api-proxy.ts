/** What stands between a server and its kube-apiserver, and does all that an API server may do to its clients. */
import { readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";
import { stringify } from "yaml";
import { type KubeConfig, parseKubeconfig } from "../../src/kube/client.ts";
import type { Random } from "./seed.ts";

type Fault = "conflict" | "expired" | "busy" | "broken" | "late" | "not taken" | "not answered" | "watch cut";

export const allFaults: readonly Fault[] = ["conflict", "expired", "busy", "broken", "late", "not taken", "not answered", "watch cut"];

const ofReads: readonly Fault[] = ["busy", "broken", "late", "not taken", "not answered"];

/** What becomes of requests of each kind, before it begins anew: dealt like cards, so that all of it comes. */
const decks = {
  watch: ["expired", "broken", "watch cut", "watch cut"],
  read: [...ofReads, ...Array.from({ length: 15 }, () => undefined)],
  write: [...ofReads, "conflict", ...Array.from({ length: 18 }, () => undefined)],
} as const satisfies Record<string, readonly (Fault | undefined)[]>;

export class ApiProxy {
  #isFaulty = false;
  readonly #dealt: Record<keyof typeof decks, (Fault | undefined)[]> = { watch: [], read: [], write: [] };
  /** How often it did what. */
  readonly faults: Partial<Record<Fault, number>> = {};
  readonly #server: Server;
  readonly #config: KubeConfig;
  readonly #agent: Agent;
  readonly #random: Random;

  static async start(kubeconfig: string, random: Random): Promise<ApiProxy> {
    const proxy = new ApiProxy(parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig), random);
    await new Promise<void>((resolve) => void proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  private constructor(config: KubeConfig, random: Random) {
    this.#config = config;
    this.#random = random;
    this.#agent = new Agent({ keepAlive: true, ca: config.ca, cert: config.cert, key: config.key });
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  /** For clients of the proxy, who need no certificate. */
  async writeKubeconfig(path: string): Promise<void> {
    const name = "proxy";
    const server = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name, cluster: { server } }],
      users: [{ name, user: { token: "none" } }],
      contexts: [{ name, context: { cluster: name, user: name, namespace: "seatrial" } }],
      "current-context": name,
    };
    await writeFile(path, stringify(config));
  }

  /** From now on nothing is sure; what is under way is cut. */
  begin(): void {
    this.#isFaulty = true;
    this.#server.closeAllConnections();
  }

  end(): void {
    this.#isFaulty = false;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    this.#agent.destroy();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const isWatch = request.url!.includes("watch=true");
    const fault = this.#choose(request.method!, isWatch);
    if (fault) this.faults[fault] = (this.faults[fault] ?? 0) + 1;
    switch (fault) {
      case "conflict":
        return refuse(request, response, 409, "Conflict", "the object has been modified");
      case "expired":
        return refuse(request, response, 410, "Expired", "too old resource version");
      case "busy":
        response.setHeader("retry-after", "1");
        return refuse(request, response, 429, "TooManyRequests", "later");
      case "broken":
        return refuse(request, response, 500, "InternalError", "etcdserver: request timed out");
      case "not taken":
        return void request.socket.destroy();
      case "late":
        return void setTimeout(() => this.#forward(request, response), this.#random.between(100, 1_500));
      case "not answered":
      case "watch cut":
      case undefined:
        return this.#forward(request, response, fault);
    }
  }

  #choose(method: string, isWatch: boolean): Fault | undefined {
    if (!this.#isFaulty) return undefined;
    const kind = isWatch ? "watch" : method === "PUT" || method === "PATCH" ? "write" : "read";
    const deck = this.#dealt[kind];
    if (deck.length === 0) deck.push(...decks[kind]);
    return deck.splice(this.#random.between(0, deck.length), 1)[0];
  }

  #forward(request: IncomingMessage, response: ServerResponse, fault?: Fault): void {
    const { authorization: _none, host: _other, ...headers } = request.headers;
    const sent = httpsRequest(new URL(request.url!, this.#config.server), { method: request.method, headers, agent: this.#agent });
    sent.on("response", (answer) => {
      if (fault === "not answered") {
        answer.resume();
        return void request.socket.destroy();
      }
      response.writeHead(answer.statusCode!, answer.headers);
      response.flushHeaders();
      pipeline(answer, response, () => sent.destroy());
      if (fault !== "watch cut") return;
      const timer = setTimeout(() => request.socket.destroy(), this.#random.between(0, 2_000));
      response.once("close", () => clearTimeout(timer));
    });
    sent.on("error", () => request.socket.destroy());
    response.once("close", () => sent.destroy());
    pipeline(request, sent, () => {});
  }
}

/** As the API server says it. */
function refuse(request: IncomingMessage, response: ServerResponse, code: number, reason: string, message: string): void {
  request.resume();
  response.writeHead(code, { "content-type": "application/json" });
  response.end(JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message }));
}

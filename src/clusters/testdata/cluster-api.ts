/**
 * Stands in for the API of a cluster that a job can write to: it has events and pods, more of them than anybody should read, and says
 * what its maker likes. What a real one says of pods is in test/e2e/.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface ClusterApiContent {
  /** Endless lists begin anew when they are at their end. */
  events?: object[];
  pods?: { metadata: { namespace: string; name: string }; spec: { containers: { name: string }[] } }[];
  isEndless?: boolean;
  /** Of a container, by name. Default: 404. */
  logs?: Record<string, string>;
  token?: string;
}

export interface ClusterApi extends AsyncDisposable {
  url: string;
  kubeconfig: string;
  requests: URL[];
}

/** @param key PEM of the client's key in its kubeconfig. */
export async function serveClusterApi(content: ClusterApiContent, key = ""): Promise<ClusterApi> {
  const requests: URL[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url!, "http://cluster");
    requests.push(url);
    const [, list] = /^\/api\/v1\/(events|pods)$/.exec(url.pathname) ?? [];
    if (list !== undefined) {
      const all = content[list as "events" | "pods"] ?? [];
      const from = Number(url.searchParams.get("continue") ?? 0);
      const limit = Number(url.searchParams.get("limit"));
      const isEndless = content.isEndless === true && all.length > 0;
      const items = isEndless ? Array.from({ length: limit }, (_, i) => all[(from + i) % all.length]) : all.slice(from, from + limit);
      const next = isEndless || from + limit < all.length ? { continue: String(from + limit) } : {};
      return void response.end(JSON.stringify({ items, metadata: next }));
    }
    const log = url.pathname.endsWith("/log") ? content.logs?.[url.searchParams.get("container") ?? ""] : undefined;
    if (log === undefined) response.writeHead(404).end(JSON.stringify({ message: `there is no ${url.pathname}`, reason: "NotFound" }));
    else response.end(log);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const user = { token: content.token ?? "", "client-key-data": Buffer.from(key).toString("base64") };
  const kubeconfig = JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "c", user: "c" } }],
    clusters: [{ name: "c", cluster: { server: url } }],
    users: [{ name: "c", user }],
  });
  return {
    url,
    kubeconfig,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

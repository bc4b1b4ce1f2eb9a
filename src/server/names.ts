/**
 * Keeps pages of other sites from reading a server on this machine: a name of theirs that leads to 127.0.0.1 makes their scripts
 * "of the same origin" (DNS rebinding). Where others can reach the server anyway there is nothing to keep.
 */
import { isIP } from "node:net";
import type { MiddlewareHandler } from "hono";

/** @param listen name or address that the server listens on. @param publicUrl where people reach it, if that is another. */
export function ownNamesOnly(listen: string, publicUrl: string | undefined): MiddlewareHandler {
  const isOfThisMachine = listen === "localhost" || listen === "::1" || listen.startsWith("127.");
  const names = new Set(["localhost", listen, ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname])]);
  return async (context, next) => {
    const { hostname } = new URL(context.req.url);
    // Webhooks are signed, and a proxy before us may call us as it likes.
    const isKnown = names.has(hostname) || isIP(hostname.replaceAll(/[[\]]/g, "")) !== 0 || context.req.path.startsWith("/webhooks/");
    if (!isOfThisMachine || isKnown) return await next();
    return context.text(`${hostname} is no name of this server: \`url\` in its configuration says which one is\n`, 421);
  };
}

/**
 * A real browser, without a window. Pages are opened as a person would with scripts turned off, and whatever one of them does that
 * it should not, ask another origin or complain on the console, is written down.
 */
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect } from "vitest";
import { findChromium } from "../../lab/chromium.ts";
import type { Owner } from "./e2e.ts";

/** Turned off: what a sandbox of containers cannot have, and all that calls home. */
const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts one with an empty profile, or says why it cannot be had. */
export async function openBrowser(): Promise<TestBrowser | { reason: string }> {
  const path = await findChromium();
  if (typeof path !== "string") return path;
  return new TestBrowser(await chromium.launch({ executablePath: path, headless: true, args: flags }));
}

export class TestBrowser implements AsyncDisposable {
  readonly #browser: Browser;

  constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** A page that is closed, and must have done nothing wrong, when the test ends. @param origin the only one that it may ask. */
  async page(context: Owner, origin: string, options: BrowserContextOptions = {}): Promise<Page> {
    const session = await this.#browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 900 }, ...options });
    const troubles: string[] = [];
    session.on("request", (request) => {
      if (new URL(request.url()).origin !== origin) troubles.push(`it asked ${request.url()}`);
    });
    session.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) troubles.push(`on the console: ${message.text()}`);
    });
    session.on("weberror", (error) => troubles.push(`an error in the page: ${error.error().message}`));
    context.onTestFinished(async () => {
      await session.close();
      expect(troubles).toEqual([]);
    });
    return await session.newPage();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

/** What of a page's text has too little contrast with what is behind it: WCAG 2.2, 1.4.3, asks for 4.5 of text of this size. */
export async function faintTexts(page: Page): Promise<string[]> {
  return await page.evaluate<string[]>(`(() => {
    const channels = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
    const luminance = ([red, green, blue]) => {
      const [r, g, b] = [red, green, blue].map((value) => {
        const part = value / 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      for (let each = element; each; each = each.parentElement) {
        const color = channels(getComputedStyle(each).backgroundColor);
        if (color.length === 3 || color[3] === 1) return color;
      }
      return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
    };
    const faint = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (node.data.trim() === "" || element.getClientRects().length === 0) continue;
      const [text, back] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))];
      const ratio = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
      if (ratio < 4.5) faint.add(ratio.toFixed(2) + ": " + node.data.trim().slice(0, 60));
    }
    return [...faint];
  })()`);
}

/** Goes through a page with the Tab key. @returns the text of each stop, and which of them show no outline. */
export async function tabStops(page: Page, most: number): Promise<{ stops: string[]; unseen: string[] }> {
  const stops: string[] = [];
  const unseen: string[] = [];
  for (let count = 0; count < most; count++) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate<{ text: string; isSeen: boolean } | null>(`(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      const style = getComputedStyle(element);
      const text = (element.innerText || element.getAttribute("name") || "").trim();
      return { text, isSeen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1 };
    })()`);
    if (!stop) break;
    stops.push(stop.text);
    if (!stop.isSeen) unseen.push(stop.text);
  }
  return { stops, unseen };
}

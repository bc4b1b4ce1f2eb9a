/**
 * Step summaries, as markup for a page. They are whatever a job wrote: Markdown's usual parts (headings, lists, tables, code, quotes,
 * links, emphasis) and a few tags without attributes, which `@actions/core` writes; all else is shown as the text that it is.
 *
 * Sources: GitHub Flavored Markdown; the tags are those of `@actions/core`'s summary.
 */
import { limits } from "../../base/limits.ts";
import { escapeText, Html } from "./layout.ts";

/** Tags that may stand in a summary; what they say in attributes is left out, but for links. */
const tags = new Set(
  "a b blockquote br code dd del details dl dt em h1 h2 h3 h4 h5 h6 hr i kbd li ol p pre s strong sub summary sup table tbody td th thead tr ul".split(
    " ",
  ),
);
const empty = new Set(["br", "hr"]);
/** All parts are bounded, and none can be read in two ways: a text of nothing but beginnings takes no longer than another. */
const inlineParts =
  /(`{1,2})([^`\n]{1,400})\1|<(\/?)([a-z][a-z0-9]{0,20})((?:\s[^<>]{0,400})?)>|!?\[([^[\]\n]{0,300})\]\(\s{0,9}([^\s()]{1,2000})(?:\s[^()\n]{0,200})?\)|\*\*([^\s*][^*]{0,300})\*\*|(?<![\w*])[*_]([^\s*_][^*_\n]{0,300})[*_](?![\w*])|~~([^~]{1,300})~~|\bhttps?:\/\/[^\s<>"')\]]{1,2000}/gi;

/** Never throws, and takes time in proportion to the text: what is longer than {@link limits.summaryBytes} is cut. */
export function markdown(text: string): Html {
  const rendering = new Rendering();
  rendering.blocks(text.slice(0, limits.summaryBytes).split(/\r\n?|\n/));
  return new Html(rendering.end());
}

class Rendering {
  #out: string[] = [];
  /** Tags of the text itself that are open. */
  readonly #open: string[] = [];

  end(): string {
    while (this.#open.length > 0) this.#out.push(`</${this.#open.pop()}>`);
    return this.#out.join("");
  }

  blocks(lines: readonly string[]): void {
    for (let i = 0; i < lines.length;) i = this.#block(lines, i);
  }

  /** @returns the line after the block that begins here. */
  #block(lines: readonly string[], at: number): number {
    const line = lines[at]!;
    if (line.trim() === "") return at + 1;
    const fence = /^ {0,3}(```+|~~~+)/.exec(line)?.[1];
    if (fence !== undefined) {
      let end = at + 1;
      while (end < lines.length && !lines[end]!.trimStart().startsWith(fence)) end++;
      this.#out.push(`<pre><code>${escapeText(lines.slice(at + 1, end).join("\n"))}</code></pre>`);
      return end + 1;
    }
    const [, signs, heading] = /^ {0,3}(#{1,6})\s([^]*)$/.exec(line) ?? [];
    if (signs !== undefined) {
      // The page has its own first and second.
      const level = Math.min(6, signs.length + 2);
      this.#out.push(
        `<h${level}>${this.#inline(
          heading!
            .trim()
            .replace(/(^|\s)#+$/, "")
            .trim(),
        )}</h${level}>`,
      );
      return at + 1;
    }
    if (/^ {0,3}([-*_])(\s*\1){2,}\s*$/.test(line)) {
      this.#out.push("<hr>");
      return at + 1;
    }
    if (isTableHead(line, lines[at + 1])) return this.#table(lines, at);
    if (/^ {0,3}>/.test(line)) return this.#run(lines, at, /^ {0,3}>\s?([^]*)$/, "blockquote", (text) => `${this.#inline(text)}<br>`);
    if (/^\s*[-*+]\s/.test(line)) return this.#run(lines, at, /^\s*[-*+]\s+([^]*)$/, "ul", (text) => `<li>${this.#item(text)}</li>`);
    if (/^\s*\d{1,9}[.)]\s/.test(line))
      return this.#run(lines, at, /^\s*\d{1,9}[.)]\s+([^]*)$/, "ol", (text) => `<li>${this.#inline(text)}</li>`);
    return this.#paragraph(lines, at);
  }

  /** Lines of one kind, one after the other; the first is one of them. */
  #run(lines: readonly string[], at: number, pattern: RegExp, tag: string, render: (text: string) => string): number {
    const parts: string[] = [];
    let end = at;
    for (; end < lines.length; end++) {
      const text = pattern.exec(lines[end]!)?.[1];
      if (text === undefined) break;
      parts.push(render(text));
    }
    this.#out.push(`<${tag}>${parts.join("")}</${tag}>`);
    return end;
  }

  #item(text: string): string {
    const [, mark, rest] = /^\[([ xX])\]\s+([^]*)$/.exec(text) ?? [];
    return mark === undefined ? this.#inline(text) : `${mark === " " ? "☐" : "☑"} ${this.#inline(rest!)}`;
  }

  #table(lines: readonly string[], at: number): number {
    const row = (line: string, tag: string) =>
      `<tr>${cellsOf(line)
        .map((cell) => `<${tag}>${this.#inline(cell)}</${tag}>`)
        .join("")}</tr>`;
    const head = row(lines[at]!, "th");
    const body: string[] = [];
    let end = at + 2;
    for (; end < lines.length && lines[end]!.includes("|"); end++) body.push(row(lines[end]!, "td"));
    this.#out.push(`<table><thead>${head}</thead><tbody>${body.join("")}</tbody></table>`);
    return end;
  }

  /** Up to an empty line, or what begins a block of another kind. */
  #paragraph(lines: readonly string[], at: number): number {
    let end = at + 1;
    while (end < lines.length && !/^\s*$|^ {0,3}(#{1,6}\s|```|~~~|>|[-*+]\s|\d{1,9}[.)]\s)/.test(lines[end]!)) end++;
    const text = lines.slice(at, end).join("\n");
    const isMarkup = /^\s*<\/?[a-z]/i.test(text);
    this.#out.push(isMarkup ? this.#inline(text) : `<p>${this.#inline(text)}</p>`);
    return end;
  }

  #inline(text: string): string {
    if (!/[`<[*_~:]/.test(text)) return escapeText(text);
    let out = "";
    let at = 0;
    for (const match of text.matchAll(inlineParts)) {
      const [whole, , code, slash, tag, attributes, label, target, bold, italic, struck] = match;
      out += escapeText(text.slice(at, match.index));
      at = match.index + whole.length;
      if (code !== undefined) out += `<code>${escapeText(code.trim())}</code>`;
      else if (tag !== undefined) out += this.#tag(whole, slash === "/", tag.toLowerCase(), attributes ?? "");
      else if (target !== undefined) out += linkTo(target, label === "" ? target : label!, whole);
      else if (bold !== undefined) out += `<strong>${escapeText(bold)}</strong>`;
      else if (italic !== undefined) out += `<em>${escapeText(italic)}</em>`;
      else if (struck !== undefined) out += `<del>${escapeText(struck)}</del>`;
      else out += linkTo(whole, whole, whole);
    }
    return out + escapeText(text.slice(at));
  }

  /** What is closed was opened, and the other way round: nothing of a summary ends a part of the page. */
  #tag(whole: string, isEnd: boolean, tag: string, attributes: string): string {
    if (!tags.has(tag)) return escapeText(whole);
    if (empty.has(tag)) return isEnd ? "" : `<${tag}>`;
    if (!isEnd) {
      if (this.#open.length >= limits.summaryDepth) return escapeText(whole);
      this.#open.push(tag);
      const target = tag === "a" ? /\shref\s*=\s*["']?([^"'\s>]+)/i.exec(attributes)?.[1] : undefined;
      return target !== undefined && isSafe(target) ? `<a href="${escapeText(target)}" rel="nofollow noreferrer">` : `<${tag}>`;
    }
    const from = this.#open.lastIndexOf(tag);
    if (from === -1) return "";
    return this.#open
      .splice(from)
      .toReversed()
      .map((each) => `</${each}>`)
      .join("");
  }
}

function isTableHead(line: string, next: string | undefined): boolean {
  return line.includes("|") && next?.includes("|") === true && cellsOf(next).every((cell) => /^:?-+:?$/.test(cell));
}

function cellsOf(line: string): string[] {
  const inner = line
    .trim()
    .replace(/^\|/, "")
    .replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll(String.raw`\|`, "|"));
}

/** Pictures are links, too: pages load nothing from elsewhere. */
function linkTo(target: string, label: string, whole: string): string {
  return isSafe(target) ? `<a href="${escapeText(target)}" rel="nofollow noreferrer">${escapeText(label)}</a>` : escapeText(whole);
}

function isSafe(target: string): boolean {
  return /^https?:\/\//i.test(target);
}

/**
 * What every page has: rendered here, whole, without a script. Text from outside is escaped by `html`; what is not from `html`
 * does not get in.
 */
import type { Verdict } from "../../resources/verdict.ts";

/** Markup that may stand in a page as it is. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Piece = Html | string | number | undefined | false | readonly Piece[];

/** A template of markup: strings are escaped, undefined and false are nothing, lists are joined. */
export function html(parts: TemplateStringsArray, ...pieces: Piece[]): Html {
  return new Html(parts.map((part, index) => part + (index < pieces.length ? textOf(pieces[index]) : "")).join(""));
}

function textOf(piece: Piece): string {
  if (piece === undefined || piece === false) return "";
  if (piece instanceof Html) return piece.text;
  if (Array.isArray(piece)) return (piece as readonly Piece[]).map(textOf).join("");
  return escapeText(typeof piece === "number" ? String(piece) : (piece as string));
}

/** Control characters other than tab and line ends have no place in HTML: they are shown as pictures of themselves. */
export function escapeText(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  return text.replaceAll(/[&<>"'\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, (character) => {
    const code = character.charCodeAt(0);
    return entities[character] ?? (code === 0x7f ? "\u2421" : String.fromCharCode(0x2400 + code));
  });
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

const verdictMarks: Record<Verdict, string> = {
  passed: "✓",
  failed: "✗",
  error: "⚠",
  "timed-out": "⏱",
  aborted: "⊘",
  skipped: "–",
};

/** How something is, with a mark and words: colour alone says nothing. */
export function badge(phase: string, verdict: Verdict | undefined): Html {
  const word = verdict ?? phase;
  const mark = verdict ? verdictMarks[verdict] : "…";
  return html`<span class="badge ${word.toLowerCase()}"><span aria-hidden="true">${mark}</span> ${word}</span>`;
}

export function pageTop(title: string, crumbs: readonly { text: string; href?: string }[]): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} · Seatrial</title>
        <link rel="stylesheet" href="/style.css" />
      </head>
      <body>
        <header>
          <a class="home" href="/">Seatrial</a>
          <nav aria-label="Where you are">${crumbs.map(({ text, href }) => html` <span aria-hidden="true">/</span> ${href ? html`<a href="${href}">${text}</a>` : html`<span aria-current="page">${text}</span>`}`)}</nav>
        </header>
        <main>`;
}

export const pageBottom = new Html("</main></body></html>\n");

/** Every page, and every file that is served beside it: nothing runs, nothing is loaded from elsewhere, nothing frames it. */
export const pageHeaders: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy":
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

/** `1 h 2 min`, `12.3 s`. */
export function duration(ms: number): string {
  if (ms < 60_000) return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 60 ? `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function time(date: Date): Html {
  return html`<time datetime="${date.toISOString()}">${date.toISOString().replace("T", " ").slice(0, 19)} UTC</time>`;
}

export const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #57606a; --line: #d0d7de; --paper: #fff; --soft: #f6f8fa; --link: #0550ae;
  --passed: #116329; --failed: #b3261e; --error: #8a4600; --mark: #fff3bf; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9198a1; --line: #30363d; --paper: #0d1117; --soft: #161b22; --link: #79b8ff;
  --passed: #56d364; --failed: #ff8b80; --error: #f0b35e; --mark: #4d3f00; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
header { display: flex; gap: .5rem; padding: .6rem 1.2rem; border-bottom: 1px solid var(--line); }
.home { font-weight: 700; }
main { padding: 1rem 1.2rem 4rem; max-width: 1400px; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
h1 { font-size: 1.35rem; margin: .4rem 0; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; color: var(--dim); font-weight: 500; }
td, th { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
.dim, time { color: var(--dim); } .badge { white-space: nowrap; font-weight: 600; }
.passed { color: var(--passed); } .failed, .timed-out { color: var(--failed); } .error { color: var(--error); } .skipped, .aborted { color: var(--dim); }
.message { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid var(--failed); padding: .3rem .8rem; background: var(--soft); }
.log { font: 12.5px/1.55 ui-monospace, SFMono-Regular, Menlo, monospace; background: var(--soft); border: 1px solid var(--line); padding: .5rem 0; overflow-x: auto; }
.log div { display: flex; min-height: 1.55em; } .log div:target, .log .marked, .log :target div { background: var(--mark); }
.log a { flex: 0 0 5.5em; text-align: right; padding-right: 1em; color: var(--dim); text-decoration: none; user-select: none; }
.log span { white-space: pre-wrap; overflow-wrap: anywhere; padding-right: 1em; }
.log .step { font-weight: 600; border-top: 1px solid var(--line); margin-top: .4rem; padding: .3rem 1em .2rem; display: block; font-family: system-ui, sans-serif; }
.more { padding: .3rem 1em; display: block !important; } .live { color: var(--dim); padding: .3rem 1em; }
`;

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
  "timed-out": "◷",
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
        <link rel="icon" href="/icon.svg" type="image/svg+xml" />
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
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

/** `1 h 2 min`, `12.3 s`, `40 ms`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 60 ? `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function time(date: Date): Html {
  return html`<time datetime="${date.toISOString()}">${date.toISOString().replace("T", " ").slice(0, 19)} UTC</time>`;
}

/** The pages' own mark, for the tab: what a browser asks for by itself is there, too. */
export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M8 1v9H3zM9 3l4 7H9zM1 11h14l-2 4H3z" fill="#4a8fd8"/></svg>`;

/**
 * Both schemes have a contrast of 4.5 at least for all text, also on a line that is marked (test/e2e/page). On a narrow screen rows of
 * tables become blocks.
 */
export const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #57606a; --line: #d0d7de; --paper: #fff; --soft: #f6f8fa; --link: #0550ae;
  --passed: #116329; --failed: #b3261e; --error: #8a4600; --mark: #fff3bf; --edge: #d4a72c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9198a1; --line: #30363d; --paper: #0d1117; --soft: #161b22; --link: #79b8ff;
  --passed: #56d364; --failed: #ff8b80; --error: #f0b35e; --mark: #3d3200; --edge: #bb8009; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
header { display: flex; gap: .5rem; padding: .6rem 1.2rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.home { font-weight: 700; white-space: nowrap; }
main { padding: 1rem 1.2rem 4rem; max-width: 1400px; }
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
h1 { font-size: 1.35rem; margin: .4rem 0; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .6rem 0 1rem; }
input, button { font: inherit; color: inherit; background: var(--soft); border: 1px solid var(--dim); border-radius: 4px; padding: .2rem .6rem; }
label { max-width: 100%; } input { width: 24rem; max-width: 100%; } ::placeholder { color: var(--dim); opacity: 1; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, monospace; font-size: .92em; overflow-wrap: anywhere; }
summary { cursor: pointer; width: max-content; } summary h2 { display: inline-block; }
table { border-collapse: collapse; min-width: min(40rem, 100%); } th { text-align: left; color: var(--dim); font-weight: 500; }
td, th { padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:last-child, th:last-child { padding-right: 0; overflow-wrap: anywhere; }
time, .time { white-space: nowrap; } .name { overflow-wrap: anywhere; min-width: 12rem; }
.dim, time { color: var(--dim); } .badge { white-space: nowrap; font-weight: 600; }
.passed { color: var(--passed); } .failed, .timed-out { color: var(--failed); } .error { color: var(--error); } .skipped, .aborted { color: var(--dim); }
.message { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid var(--failed); padding: .3rem .8rem; background: var(--soft); }
li { overflow-wrap: anywhere; } li .message { margin: .2rem 0 .6rem; font: 12.5px/1.55 ui-monospace, SFMono-Regular, Menlo, monospace; }
[aria-current="page"] { font-weight: 600; }
.log { font: 12.5px/1.55 ui-monospace, SFMono-Regular, Menlo, monospace; background: var(--soft); border: 1px solid var(--line); padding: .5rem 0; }
.log div { display: flex; min-height: 1.55em; border-left: 3px solid transparent; scroll-margin-top: 30vh; }
.log div.range { display: block; border: 0; }
.log div:not(.range):target, .log .marked, .log .range:target div { background: var(--mark); border-left-color: var(--edge); }
.log a { flex: 0 0 5.5em; text-align: right; padding-right: 1em; color: var(--dim); text-decoration: none; user-select: none; }
.log a:hover { text-decoration: underline; } .log a:focus-visible { outline-offset: -2px; }
.log :target a, .log .marked a { color: inherit; }
.log span { white-space: pre-wrap; overflow-wrap: anywhere; padding-right: 1em; min-width: 0; }
.log summary { display: block; width: auto; } .log summary span { font-weight: 600; } .log summary span::before { content: "▸ "; } .log [open] > summary span::before { content: "▾ "; }
.summary pre { background: var(--soft); border: 1px solid var(--line); padding: .5rem; overflow-x: auto; }
.log .more { display: block; text-align: left; padding: .3rem 1em; color: var(--link); text-decoration: underline; }
@media (max-width: 700px) {
  thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; white-space: nowrap; }
  tr { display: flex; flex-wrap: wrap; gap: 0 .8rem; padding: .4rem 0; border-bottom: 1px solid var(--line); }
  td { padding: 0; border: 0; overflow-wrap: anywhere; min-width: 0; } td:empty { display: none; } .name { min-width: 0; }
  .log a { flex-basis: 4em; padding-right: .8em; }
}
`;

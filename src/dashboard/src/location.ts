// Where we are: the path says which page, the query what is chosen on it. Every view has an address that can be sent to somebody.

import { batch, signal } from "@preact/signals";

export type Page =
  | { name: "fleet" }
  | { name: "host"; host: string }
  | { name: "compare" }
  | { name: "streaming" }
  | { name: "storage" }
  | { name: "missing"; path: string };

export type Parameters = Readonly<Record<string, string>>;

const PAGES = ["compare", "streaming", "storage"] as const;
/** Browsers refuse more than about a hundred changes of the address in half a minute. */
const WRITE_AFTER_MS = 350;

export function readPage(path: string): Page {
  const segments = path.split("/").filter((segment) => segment !== "");
  const [first, second] = segments;
  if (first === undefined || first === "index.html") return { name: "fleet" };
  if (first === "host" && second !== undefined) return { name: "host", host: decode(second) };
  const known = PAGES.find((page) => page === first);
  return known !== undefined && segments.length === 1 ? { name: known } : { name: "missing", path };
}

export function hostPath(host: string): string {
  return `/host/${encodeURIComponent(host)}/`;
}

export function readParameters(query: string): Parameters {
  return Object.fromEntries(new URLSearchParams(query));
}

/** The query of these parameters, with its question mark; the empty ones are left out. */
export function writeParameters(parameters: Parameters): string {
  const written = Object.entries(parameters).filter(([, value]) => value !== "");
  // Readable where the standard allows it: commas and colons need no escape in a query.
  const query = new URLSearchParams(written).toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return query === "" ? "" : `?${query}`;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

export const path = signal("/");
export const parameters = signal<Parameters>({});
/** The part behind `#`: the chart that a link points at. */
export const fragment = signal("");

function read(): void {
  batch(() => {
    path.value = location.pathname;
    parameters.value = readParameters(location.search);
    fragment.value = decode(location.hash.slice(1));
  });
}

/** Goes to an address of ours, as a step that the back button undoes. */
export function navigate(address: string): void {
  flush();
  history.pushState(null, "", address);
  read();
  window.scrollTo(0, 0);
}

let pending: ReturnType<typeof setTimeout> | undefined;

function flush(): void {
  if (pending === undefined) return;
  clearTimeout(pending);
  pending = undefined;
  history.replaceState(null, "", path.value + writeParameters(parameters.value) + location.hash);
}

/** Changes parameters of the view; the address follows in a moment, without a step of its own. An empty value removes one. */
export function setParameters(changes: Parameters): void {
  const merged = { ...parameters.value, ...changes };
  parameters.value = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== ""));
  pending ??= setTimeout(flush, WRITE_AFTER_MS);
}

/** What of the address goes along from a page with a time line to another. */
const TIME = ["after", "before", "last", "tz"] as const;

/** The address of a link from here: with this page's time, unless it has its own. */
export function withTime(link: URL, here: Page, given: Parameters): string {
  const hasTime = ({ name }: Page): boolean => name === "host" || name === "compare";
  const own: Record<string, string> = { ...readParameters(link.search) };
  if (hasTime(here) && hasTime(readPage(link.pathname)) && !TIME.some((name) => own[name])) {
    for (const name of TIME) own[name] = given[name] ?? "";
  }
  return link.pathname + writeParameters(own) + link.hash;
}

/** Begins to follow the address bar, and links in the page. */
export function watchLocation(): void {
  read();
  addEventListener("popstate", () => {
    clearTimeout(pending);
    pending = undefined;
    read();
  });
  addEventListener("pagehide", flush);
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest("a");
    if (!link || link.target !== "" || link.hasAttribute("download") || link.origin !== location.origin) return;
    if (readPage(link.pathname).name === "missing" || link.pathname.includes("/api/")) return;
    if (link.hash !== "" && link.pathname === location.pathname) return;
    event.preventDefault();
    navigate(withTime(new URL(link.href), readPage(path.value), parameters.value));
  });
}

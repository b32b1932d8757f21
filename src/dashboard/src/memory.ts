// What the browser keeps for a person: theme, time zone, layout. Nothing of it leaves the browser, and all of it may be missing.

const PREFIX = "mainstem.";

export function remembered(name: string): string | undefined {
  try {
    return localStorage.getItem(PREFIX + name) ?? undefined;
  } catch {
    return undefined;
  }
}

/** An empty value is forgotten. */
export function remember(name: string, value: string): void {
  try {
    if (value === "") localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // Private windows have no storage: the choice lasts as long as the page.
  }
}

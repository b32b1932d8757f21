// The menu of all mirrored hosts: opens a list that is searched by typing.

import { signal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { info, type Info } from "../api";
import { hostPath, navigate, parameters, writeParameters } from "../location";
import { Icon } from "./icon";

type Mirrored = Info["mirrored_hosts_status"][number];

/** As many as a person looks through; the search finds the others. */
const SHOWN = 100;
const isOpen = signal(false);
const compare = new Intl.Collator("en", { numeric: true }).compare;

export function openHostMenu(): void {
  isOpen.value = true;
}

export function HostMenu({ current }: { readonly current: string | undefined }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const hosts = useSignal<readonly Mirrored[]>([]);
  const search = useSignal("");
  const active = useSignal(0);
  const error = useSignal("");
  const open = isOpen.value;

  useEffect(() => {
    if (!open) {
      dialog.current?.close();
      return;
    }
    search.value = "";
    active.value = 0;
    dialog.current?.showModal();
    info().then(
      ({ mirrored_hosts_status: [own, ...others] }) => {
        others.sort((a, b) => compare(a.hostname, b.hostname));
        hosts.value = own ? [own, ...others] : others;
      },
      (problem: Error) => (error.value = problem.message),
    );
  }, [open]);

  const found = useComputed(() => {
    const words = search.value.toLowerCase().trim();
    return hosts.value.filter((host) => host.hostname.toLowerCase().includes(words) || host.guid.startsWith(words));
  });
  const listed = found.value.slice(0, SHOWN);
  const sameName = useComputed(() => {
    const seen = new Set<string>();
    return new Set(hosts.value.filter(({ hostname }) => seen.size === seen.add(hostname).size).map(({ hostname }) => hostname));
  });

  const go = (host: Mirrored | undefined): void => {
    if (!host) return;
    isOpen.value = false;
    const { after = "", before = "", last = "" } = parameters.value;
    const name = sameName.value.has(host.hostname) ? host.guid : host.hostname;
    navigate(hostPath(name) + writeParameters({ after, before, last }));
  };
  const onKey = (event: KeyboardEvent): void => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move !== undefined) active.value = Math.min(listed.length - 1, Math.max(0, active.value + move));
    else if (event.key === "Enter") go(listed[active.value]);
    else return;
    event.preventDefault();
    document.getElementById(`host-option-${active.value}`)?.scrollIntoView({ block: "nearest" });
  };

  return (
    <>
      <button type="button" class="host-button" aria-haspopup="dialog" aria-label={`Hosts: ${current ?? "choose one"}`} onClick={openHostMenu}>
        <Icon name="host" />
        <span>{current ?? "Hosts"}</span>
      </button>
      <dialog ref={dialog} class="host-menu" aria-label="Hosts" onClose={() => (isOpen.value = false)}
        onClick={(event) => event.target === event.currentTarget && (isOpen.value = false)}>
        <div class="field">
          <Icon name="search" />
          <input type="text" placeholder="Find a host" role="combobox" aria-label="Find a host" aria-expanded="true" aria-controls="host-options"
            aria-activedescendant={listed.length > 0 ? `host-option-${active.value}` : undefined} autocomplete="off" value={search.value}
            onInput={(event) => {
              search.value = event.currentTarget.value;
              active.value = 0;
            }}
            onKeyDown={onKey} />
        </div>
        <ul id="host-options" role="listbox" aria-label="Hosts">
          {listed.map((host, place) => (
            <li key={host.guid} id={`host-option-${place}`} role="option" aria-selected={place === active.value} onClick={() => go(host)}>
              <i class={`dot ${host.hops === 0 ? "localhost" : host.reachable ? "live" : "offline"}`} aria-hidden="true" />
              <span>{host.hostname}</span>
              <small>{sameName.value.has(host.hostname) ? host.guid : host.hops === 0 ? "this parent" : host.reachable ? "" : "not connected"}</small>
            </li>
          ))}
        </ul>
        <p class="quiet" role="status">
          {error.value || `${found.value.length} of ${hosts.value.length} hosts${found.value.length > SHOWN ? `, the first ${SHOWN} listed` : ""}`}
        </p>
      </dialog>
    </>
  );
}

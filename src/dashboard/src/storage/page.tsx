// What is on disk: each tier with its retention and what will become of it, the disk's state, and how far back each host reaches.

import { figures, nodes, tiers, type Node, type Tier } from "../api";
import { hostPath } from "../location";
import { usePoll } from "../shell/poll";
import { now } from "../timeline";
import { formatAge, formatDuration, formatNumber, formatQuantity } from "../units";
import { formatDate, zone } from "../zone";
import { retentionOf } from "./retention";

const EVERY_MS = 5000;
const HOSTS_EVERY_MS = 60_000;
const SHOWN_HOSTS = 10;

export function StoragePage() {
  const database = usePoll(tiers, () => EVERY_MS, []);
  const ours = usePoll(figures, () => EVERY_MS, []);
  const all = usePoll(() => nodes(), () => HOSTS_EVERY_MS, []);
  const found = database.value.value;
  const known = ours.value.value ?? new Map<string, number>();
  const largest = Math.max(1, ...(found ?? []).map((tier) => retentionOf(tier).expected ?? 0));

  return (
    <>
      <div class="toolbar"><h1>Storage</h1></div>
      <div class="storage-body">
        {database.error.value !== "" && <p class="note error" role="status">{database.error.value}</p>}
        {found === null && database.error.value === "" && <p class="note">Nothing is kept on disk, or the parent has not answered yet.</p>}
        {found !== null && (
          <ol class="tiers">
            {found.map((tier, level) => <TierPanel key={level} tier={tier} level={level} largest={largest} />)}
          </ol>
        )}
        <section class="panel" aria-labelledby="now-title">
          <h2 id="now-title">Now</h2>
          <dl class="figures">
            <Figure name="Samples stored so far" value={known.get("mainstem_samples_total")} />
            <Figure name="Charts" value={known.get("mainstem_charts")} />
            <Figure name="Metrics" value={known.get("mainstem_dimensions")} />
            <Figure name="Hot rows in memory" value={known.get("mainstem_hot_bytes")} unit="bytes" />
            <Figure name="Pages on their way to disk" value={known.get("mainstem_disk_waiting_bytes")} unit="bytes" />
            <Figure name="Journal segments" value={known.get("mainstem_disk_journal_segments")} />
            <Figure name="Disk errors" value={known.get("mainstem_disk_errors_total")} isBad />
            <Figure name="Samples lost to the disk" value={known.get("mainstem_disk_samples_lost_total")} isBad />
            <Figure name="Rows missing of children" value={known.get("mainstem_missing_rows")} />
          </dl>
        </section>
        <Reach hosts={all.value.value?.nodes ?? []} />
      </div>
    </>
  );
}

function TierPanel({ tier, level, largest }: { readonly tier: Tier; readonly level: number; readonly largest: number }) {
  const { kept, expected, limit, full, fullIn, bytesPerSample, bytesPerDay } = retentionOf(tier);
  const name = ["every sample", "minutes", "hours"][level] ?? "coarser still";
  return (
    <li class="panel tier">
      <h2>Tier {level} <small>{name}</small></h2>
      {tier.files === 0 ? <p class="quiet">No complete file yet: samples are in memory and in the journal.</p> : (
        <p class="period">{formatDate(tier.first_time_s, zone.value)} – {formatDate(tier.last_time_s, zone.value)}</p>
      )}
      <div class="retention" role="img"
        aria-label={`${formatDuration(kept)} kept${expected === undefined ? "" : ` of ${formatDuration(expected)} expected`}`}>
        <span class="expected" style={{ width: `${((expected ?? 0) / largest) * 100}%` }}>
          <span class="kept" style={{ width: `${full * 100}%` }} />
        </span>
      </div>
      <p class="forecast">
        {expected === undefined
          ? "How long samples will be kept is told when the first file is complete."
          : fullIn === 0
            ? `Full: the last ${formatDuration(expected)} are kept.`
            : `${formatDuration(kept)} kept. Full in ${formatDuration(fullIn ?? 0)}, then the last ${formatDuration(expected)} are kept; ${limit === "size" ? "its size decides" : "its time decides"}.`}
      </p>
      <dl class="figures">
        <Figure name="On disk" value={tier.disk_bytes} unit="bytes" />
        <Figure name="Of at most" value={tier.retention_bytes} unit="bytes" />
        <Figure name="Samples" value={tier.samples} />
        <Figure name="Bytes a sample" value={bytesPerSample} />
        <Figure name="Grows a day" value={bytesPerDay} unit="bytes" />
        <Figure name="Files" value={tier.files} />
      </dl>
    </li>
  );
}

interface FigureProps {
  readonly name: string;
  readonly value: number | undefined;
  readonly unit?: string;
  /** Anything but zero is bad news. */
  readonly isBad?: boolean;
}

function Figure({ name, value, unit, isBad }: FigureProps) {
  const text = value === undefined ? "–" : unit === undefined ? formatNumber(value) : formatQuantity(value, unit);
  return <div><dt>{name}</dt><dd class={isBad && (value ?? 0) > 0 ? "error" : ""}>{text}</dd></div>;
}

/** The hosts that reach back least, and those that have nothing. */
function Reach({ hosts }: { readonly hosts: readonly Node[] }) {
  const reaching = hosts.filter((node) => node.retention).sort((a, b) => (b.retention?.first ?? 0) - (a.retention?.first ?? 0));
  const without = hosts.length - reaching.length;
  if (hosts.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="reach-title">
      <h2 id="reach-title">Hosts that reach back least</h2>
      <ol class="reach">
        {reaching.slice(0, SHOWN_HOSTS).map((node) => (
          <li key={node.machine_guid}>
            <a href={hostPath(node.hostname)}>{node.hostname}</a>
            <span>{formatAge(now() - (node.retention?.first ?? 0))}</span>
          </li>
        ))}
      </ol>
      {without > 0 && <p class="quiet">{formatNumber(without)} hosts have no sample.</p>}
    </section>
  );
}

// The list of sections at the side, which marks where the page is.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Section } from "../sections";

interface MenuProps {
  readonly sections: readonly Section[];
  readonly onChoose: () => void;
}

export function SectionMenu({ sections, onChoose }: MenuProps) {
  const current = useSignal("");
  const key = sections.map((section) => section.families.map((family) => family.id).join()).join(";");

  useEffect(() => {
    const inView = new Set<string>();
    const seen = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          if (isIntersecting) inView.add(target.id);
          else inView.delete(target.id);
        }
        const first = sections.flatMap((section) => section.families).find((family) => inView.has(family.id));
        if (first) current.value = first.id;
      },
      // A line below the bars on top.
      { rootMargin: "-120px 0px -75% 0px" },
    );
    for (const element of document.querySelectorAll(".charts .family")) seen.observe(element);
    return () => seen.disconnect();
  }, [key]);

  return (
    <nav aria-label="Sections">
      <ul>
        {sections.map((section) => {
          const isCurrent = section.families.some((family) => family.id === current.value);
          return (
            <li key={section.id} class={isCurrent ? "current" : ""}>
              <a href={`#${section.id}`} onClick={onChoose}>{section.title}</a>
              {section.families.length > 1 && (
                <ul>
                  {section.families.map((family) => (
                    <li key={family.id}>
                      <a href={`#${family.id}`} aria-current={family.id === current.value ? "location" : undefined} onClick={onChoose}>
                        {family.title}
                      </a>
                    </li>
                  ))}
                </ul>
              )}
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

import type { AdviceRequest, PackedCard } from "../../api/schema";

const GIB = 1024 ** 3;

/** One row of the form; numbers are empty while they are typed. */
export interface NeedValues {
  name?: string;
  share?: number | null;
  measuredOn?: string;
  memory?: number | null;
  replicas?: number | null;
  whole?: boolean;
  spread?: boolean;
}

export interface AdviceValues {
  services?: (NeedValues | undefined)[];
  cards?: string[];
  reserve?: number | null;
}

/** What the page begins with: three small services; their needs are made up and there to be replaced. */
export const EXAMPLE: AdviceValues = {
  services: [
    { name: "embedding", share: 25, measuredOn: "4090D", memory: 3, replicas: 1 },
    { name: "rerank", share: 40, measuredOn: "4090D", memory: 4, replicas: 1 },
    { name: "ocr", share: 30, measuredOn: "4090D", memory: 6, replicas: 1 },
  ],
  cards: ["4090D", "H20-96G", "L20"],
  reserve: 1,
};

/** The question that the form asks: rows that are not complete yet are left out. */
export function toQuestion(values: AdviceValues): AdviceRequest {
  const services = (values.services ?? []).flatMap((row) => {
    if (!row?.name || !row.memory || (!row.share && !row.whole)) return [];
    return [
      {
        name: row.name,
        memory_bytes: Math.round(row.memory * GIB),
        replicas: row.replicas ?? 1,
        whole: row.whole ?? false,
        spread: row.spread ?? false,
        ...(row.share ? { compute_percent: row.share, ...(row.measuredOn ? { measured_on: row.measuredOn } : {}) } : {}),
      },
    ];
  });
  return { services, cards: (values.cards ?? []).map((name) => ({ name })), reserve_bytes: Math.round((values.reserve ?? 0) * GIB) };
}

/** The shares of a card as parts of a bar; replicas of one service are told apart by their number. */
export function parts(card: PackedCard, of: "compute_percent" | "memory_bytes"): { label: string; value: number }[] {
  return card.shares.map((share) => ({ label: `${share.service} ${share.replica}`, value: share[of] }));
}

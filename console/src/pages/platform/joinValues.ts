import type { Event, JoinToken, JoinTokenCreate, JoinTokenCreated, Node } from "../../api/schema";
import type { Same } from "../../parts/Equivalent";
import { labelsOf, labelWords } from "./poolValues";

/** What a new token is to allow, as its form holds it. */
export interface JoinValues {
  pool?: string | null;
  labels?: string[];
  uses?: number | null;
  hours?: number | null;
}

export const JOIN_DEFAULTS = { uses: 1, hours: 24 };

export function tokenOf({ pool, labels, uses, hours }: JoinValues): JoinTokenCreate {
  return { hours: hours ?? JOIN_DEFAULTS.hours, uses: uses ?? JOIN_DEFAULTS.uses, pool: pool || null, labels: labelsOf(labels) };
}

/** The same as a command and as a request. */
export function sameAs(values: JoinValues): Same {
  const body = tokenOf(values);
  const words = [
    ...(body.hours === JOIN_DEFAULTS.hours ? [] : ["--hours", String(body.hours)]),
    ...(body.uses === JOIN_DEFAULTS.uses ? [] : ["--uses", String(body.uses)]),
    ...(body.pool ? ["--pool", body.pool] : []),
    ...labelWords(body.labels).flatMap((word) => ["--label", word]),
  ];
  return { command: ["aicp", "node", "token", ...words], method: "POST", path: "/api/v1/join-tokens", body };
}

/** What is run on the machine that is to join. */
export const joinCommand = ({ address, token }: Pick<JoinTokenCreated, "address" | "token">) => `aicp node join ${address} --token ${token} --detach`;

/** Whether somebody could still join with it. */
export const isOpen = (token: Pick<JoinToken, "uses_left" | "expires_at">, now: number) => token.uses_left > 0 && new Date(token.expires_at).getTime() > now;

/** Starts the platform so that machines can join; by the name that this page was reached by, where others can use it too. */
export function openingCommand(hostname: string): string {
  const own = hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
  return `aicp up --cluster ${own ? "HOST" : hostname}:8609`;
}

/** The ids of the nodes that joined, the first one first, each once. */
export function arrivedIds(events: Pick<Event, "details">[]): string[] {
  const ids = events.flatMap(({ details }) => (typeof details.node_id === "string" ? [details.node_id] : []));
  return [...new Set(ids.reverse())];
}

/** A machine that joined, unlike the platform's own ones: by its certificate. */
export const hasJoined = (node: Pick<Node, "address">) => node.address.startsWith("mtls://");

/** Whether the platform lets a node be forgotten: one that is lost, or a joined one. */
export const isRemovable = (node: Pick<Node, "address" | "state">) => node.state === "lost" || hasJoined(node);

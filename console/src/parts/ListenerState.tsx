import { Tooltip } from "antd";
import { useTranslation } from "react-i18next";
import type { Listener } from "../api/schema";
import { localized } from "../app/sentences";

const TONES = { open: "good", failed: "bad", waiting: "warn" } as const;

/** Whether a listener is open and, on hover, what hinders it. */
export function ListenerState({ listener }: { listener: Listener }) {
  const { t } = useTranslation();
  const state = listener.state ?? "waiting";
  return (
    <Tooltip title={localized(listener.reason) || undefined}>
      <span className={`pill ${TONES[state]}`}>
        <i aria-hidden />
        {t(`listeners.states.${state}`)}
      </span>
    </Tooltip>
  );
}

/** Where applications reach it. */
export function listenerUrl({ address, port, tls_certificate }: Listener): string {
  const host = address.includes(":") ? `[${address}]` : address;
  return `${tls_certificate ? "https" : "http"}://${host}:${port}/v1`;
}

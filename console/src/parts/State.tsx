import { Tooltip } from "antd";
import { useTranslation } from "react-i18next";
import type { EnvironmentState, JobState, NodeState, ReplicaState, ServiceState, AcceleratorHealth, BatchState, Outcome } from "../api/schema";
import { localized } from "../app/sentences";

export type AnyState = ServiceState | ReplicaState | JobState | NodeState | EnvironmentState | AcceleratorHealth | BatchState | Outcome | "active" | "revoked" | "expired" | "disabled" | "rolled_back" | "done" | "refused";
export type Tone = "good" | "busy" | "warn" | "bad" | "idle";

const TONES: Partial<Record<AnyState, Tone>> = {
  ready: "good", succeeded: "good", installed: "good", healthy: "good", ok: "good", active: "good", done: "good", completed: "good",
  starting: "busy", updating: "busy", loading: "busy", running: "busy", installing: "busy", allocated: "busy", stopping: "busy", draining: "busy", validating: "busy", in_progress: "busy", finalizing: "busy", cancelling: "busy",
  pending: "warn", queued: "warn", degraded: "warn", cordoned: "warn", interrupted: "warn", rejected: "warn", expired: "warn", rolled_back: "warn", refused: "warn",
  failed: "bad", lost: "bad", fenced: "bad", broken: "bad", engine_error: "bad", unavailable: "bad", revoked: "bad",
};

export function toneOf(state: AnyState): Tone {
  return TONES[state] ?? "idle";
}

/** Colour, word and, on hover, the reason of a state. */
export function State({ state, reason }: { state: AnyState; reason?: string | null }) {
  const { t } = useTranslation();
  return (
    <Tooltip title={localized(reason) || undefined}>
      <span className={`pill ${toneOf(state)}`}>
        <i aria-hidden />
        {t(`state.${state}`)}
      </span>
    </Tooltip>
  );
}
